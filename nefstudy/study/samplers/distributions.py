"""Conversion of spaces and points to Optuna's distributions and units."""

from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from nefstudy.scalars import Scalar
from nefstudy.study.space import Categorical, Dimension, Real, Space, Whole
from nefstudy.tasks.task import Point

Distributions = Mapping[str, BaseDistribution]


def distribution(dimension: Dimension) -> BaseDistribution:
    """Convert a dimension to an Optuna distribution, dividing integer bounds by their `multiple`."""
    match dimension:
        case Real(low, high, log):
            return FloatDistribution(low, high, log=log)
        case Whole(low, high, log, multiple):
            return IntDistribution(low // multiple, high // multiple, log=log)
        case Categorical(values):
            return CategoricalDistribution(values)


def holds(distributions: Distributions, params: Point) -> bool:
    """Return whether every parameter is within its distribution."""
    return all(_holds(distribution, params[name]) for name, distribution in distributions.items())


def _holds(distribution: BaseDistribution, value: Scalar) -> bool:
    try:
        return bool(distribution._contains(distribution.to_internal_repr(value)))
    except ValueError:  # no such choice, or no logarithm
        return False


def scaled(space: Space, params: Mapping[str, Any]) -> Point:
    """Return a point in the units of the space, converted from the sampler's units."""
    return {name: params[name] * _multiple(space[name]) for name in space}


def sampler_params(space: Space, point: Point | None) -> Point | None:
    """Return the free parameters in the sampler's units, with integers divided by their multiple.

    None for a point outside the space, which a sampler cannot have drawn.
    """
    if point is None:
        return None
    params = {name: _unscaled(point[name], _multiple(dimension)) for name, dimension in space.items()}
    return params if holds({name: distribution(d) for name, d in space.items()}, params) else None


def _multiple(dimension: Dimension) -> int:
    return dimension.multiple if isinstance(dimension, Whole) else 1


def _unscaled(value: Scalar, multiple: int) -> Scalar:
    """Divide a value by a multiple.

    Other numbers become fractions, which no integer distribution contains.
    """
    if multiple == 1 or isinstance(value, str):
        return value
    return value / multiple if value % multiple else int(value) // multiple
