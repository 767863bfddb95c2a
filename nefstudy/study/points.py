"""Points of a space as Optuna has them: distributions and units."""

from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from nefstudy.scalars import Scalar
from nefstudy.study.space import Choice, Dimension, Real, Space, Whole
from nefstudy.tasks.task import Point

Distributions = Mapping[str, BaseDistribution]


def distribution(dimension: Dimension) -> BaseDistribution:
    """The dimension as Optuna sees it, in units of its multiple."""
    match dimension:
        case Real(low, high, log):
            return FloatDistribution(low, high, log=log)
        case Whole(low, high, log, multiple):
            return IntDistribution(low // multiple, high // multiple, log=log)
        case Choice(values):
            return CategoricalDistribution(values)


def holds(distributions: Distributions, params: Point) -> bool:
    """Whether every parameter lies where its distribution draws it."""
    return all(_holds(distribution, params[name]) for name, distribution in distributions.items())


def _holds(distribution: BaseDistribution, value: Scalar) -> bool:
    try:
        return bool(distribution._contains(distribution.to_internal_repr(value)))
    except ValueError:  # no such choice, or no logarithm
        return False


def scaled(space: Space, params: Mapping[str, Any]) -> Point:
    """Return a point in the units of the space, from the sampler's own."""
    return {name: params[name] * _multiple(space[name]) for name in space}


def sampler_params(space: Space, point: Point | None) -> Point | None:
    """Return free parameters in the sampler's own units, integers counted in their multiples.

    None for a point outside the space: a sampler cannot have drawn it.
    """
    if point is None:
        return None
    params = {name: _unscaled(point[name], _multiple(dimension)) for name, dimension in space.items()}
    return params if holds({name: distribution(d) for name, d in space.items()}, params) else None


def _multiple(dimension: Dimension) -> int:
    return dimension.multiple if isinstance(dimension, Whole) else 1


def _unscaled(value: Scalar, multiple: int) -> Scalar:
    """A number that is not a multiple stays a fraction, which no integer parameter takes."""
    if multiple == 1 or isinstance(value, str):
        return value
    return value / multiple if value % multiple else int(value) // multiple
