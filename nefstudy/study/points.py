"""Points of a cell's space as Optuna has them: distributions, units, and which point a trial's configuration is."""

from collections.abc import Iterator, Mapping
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from nefstudy.classifiers.catalog import CLASSIFIERS, complete
from nefstudy.errors import BadInput
from nefstudy.scalars import Scalar
from nefstudy.study.plan import CellPlan
from nefstudy.study.space import Choice, Dimension, Point, Real, Whole

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


def point_of(
    cell: CellPlan, config: Mapping[str, Any], *, classifiers: Mapping[str, Any] = CLASSIFIERS
) -> Point | None:
    """The free parameters of a trial's configuration in the units of the space; None where it lacks one."""
    dataset = config["dataset"]
    known: dict[str, Scalar | None] = {
        **dataset["field"]["params"],
        **dataset["optimizer"],
        "init": dataset["init"]["name"],
        "steps": config["steps"],
        "views": dataset.get("views"),
        "batch_points": dataset.get("batch_points"),
        "classifier": next(_named(cell, config["classifier"], classifiers), None),
    }
    found = {name: known.get(name) for name in cell.space}
    point = {name: value for name, value in found.items() if value is not None}
    return point if len(point) == len(found) else None


def _named(cell: CellPlan, config: Mapping[str, Any], classifiers: Mapping[str, Any]) -> Iterator[str]:
    """Names that the cell gives to a classifier's configuration."""
    for name, classifier in cell.classifiers.items():
        try:
            same = complete(classifier, classifiers=classifiers).model_dump(mode="json") == config
        except BadInput:  # a classifier of the script's own
            same = classifier.name == config["name"]
        if same:
            yield name


def scaled(cell: CellPlan, params: Mapping[str, Any]) -> Point:
    """A point in the units of the space, from the sampler's own."""
    return {name: params[name] * _multiple(cell.space[name]) for name in cell.space}


def sampler_params(
    cell: CellPlan, config: Mapping[str, Any], *, classifiers: Mapping[str, Any] = CLASSIFIERS
) -> Point | None:
    """A trial's free parameters in the sampler's own units, whole ones counted in their multiples.

    None for a trial outside the space: a sampler cannot have drawn it.
    """
    point = point_of(cell, config, classifiers=classifiers)
    if point is None:
        return None
    params = {name: _unscaled(point[name], _multiple(dimension)) for name, dimension in cell.space.items()}
    return params if holds({name: distribution(d) for name, d in cell.space.items()}, params) else None


def _multiple(dimension: Dimension) -> int:
    return dimension.multiple if isinstance(dimension, Whole) else 1


def _unscaled(value: Scalar, multiple: int) -> Scalar:
    """A number that is no multiple stays a fraction, which no whole parameter takes."""
    if multiple == 1 or isinstance(value, str):
        return value
    return value / multiple if value % multiple else int(value) // multiple
