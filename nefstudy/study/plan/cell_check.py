"""Checks of a cell: the types of its values, and whether its task reports the metric of its objective."""

import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from nefstudy.config import ClassifierConfig, InitConfig, SignalsConfig
from nefstudy.errors import BadConfig
from nefstudy.scalars import canonical_json, is_point
from nefstudy.study.samplers.stream import Sampler
from nefstudy.study.space import Categorical, Real, Whole
from nefstudy.tasks.task import Metric, Objective

RESERVED = "all"  # the name that tables use for all cells or phases together


def _is_instance(value: object) -> bool:
    return value is not None and not isinstance(value, type | str)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _maps_to(*kinds: type) -> Callable[[object], bool]:
    def check(value: object) -> bool:
        if not isinstance(value, Mapping):
            return False
        return all(isinstance(key, str) and isinstance(inner, kinds) for key, inner in value.items())

    return check


def _is_text(value: object) -> bool:
    return isinstance(value, str)


ALLOWED: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "phase": (_is_text, "a string"),
    "label": (_is_text, "a string"),
    "signals": (lambda value: isinstance(value, SignalsConfig), 'a SignalsConfig(name="NAME")'),
    "field": (_is_text, "a string"),
    "space": (_maps_to(Real, Whole, Categorical), "dimensions by name: Real, Whole or Categorical"),
    "fixed": (is_point, "plain numbers and strings by name"),
    "sampler": (_is_instance, "a sampler, such as Grid() or Tpe(40)"),
    "task": (_is_text, "a string, the name of a task"),
    "objective": (lambda value: value is None or isinstance(value, Objective), 'an Objective("METRIC") or None'),
    "replicates": (_is_whole, "a whole number of 1 or more"),
    "classifier": (lambda value: isinstance(value, ClassifierConfig), 'a ClassifierConfig(name="NAME")'),
    "classifiers": (_maps_to(ClassifierConfig), "ClassifierConfig values by word"),
    "inits": (_maps_to(InitConfig), "InitConfig values by word"),
}
"""Check of each cell value by name, with a description of the allowed values."""


def check_values(cell: Mapping[str, Any]) -> None:
    """Check the types of a cell's values.

    Raises:
        BadConfig: a value has another type, or a label is reserved for tables.
    """
    where = next((cell[name] for name in ("label", "phase") if cell[name] and isinstance(cell[name], str)), "a cell")
    for name, (is_allowed, allowed) in ALLOWED.items():
        if not is_allowed(cell[name]):
            value = " ".join(reprlib.repr(cell[name]).split())
            raise BadConfig(f"{where}: {name} = {value}: allowed: {allowed}; correct the plan")
    for name in ("label", "phase"):
        if cell[name] == RESERVED:
            raise BadConfig(f"{name} {RESERVED!r} means all of them together in tables; choose another {name}")


def check_description(sampler: Sampler, *, where: str) -> None:
    """Check that the description of a sampler is plain data that names its class.

    Raises:
        BadConfig: its description is not plain data or has another name.
    """
    kind, described = type(sampler).__name__, sampler.describe()
    if not isinstance(described, Mapping) or described.get("name") != kind:
        raise BadConfig(
            f"{where}: sampler {kind} describes itself as {reprlib.repr(described)}; return "
            f'{{"name": "{kind}", ...}} from its describe, so that it is not mistaken for another sampler'
        )
    try:
        canonical_json(described)
    except (TypeError, ValueError) as error:
        raise BadConfig(
            f"{where}: sampler {kind} does not describe itself as plain data ({error}); return finite numbers, "
            "strings and lists from its describe"
        ) from None


def checked_metrics(metrics: object, *, where: str, task: str) -> tuple[Metric, ...]:
    """Return the metrics that a task declares for a cell.

    Raises:
        BadConfig: the task's value is not a sequence of Metric values.
    """
    listed = tuple(metrics) if isinstance(metrics, Iterable) else (metrics,)
    wrong = next((metric for metric in listed if not isinstance(metric, Metric)), None)
    if wrong is not None or metrics is None:
        raise BadConfig(
            f"{where}: the metrics of task {task} contain {reprlib.repr(wrong)}: allowed are Metric(...) values; "
            "correct the task"
        )
    return listed


def check_objective(objective: object, metrics: Sequence[Metric], *, where: str, task: str) -> None:
    """Check that a task reports the metric of a cell's objective, with the same direction.

    Raises:
        BadConfig: the metric is unknown, has no direction or has the opposite one.
    """
    if not isinstance(objective, Objective):
        raise BadConfig(
            f"{where}: the objective of task {task} is {reprlib.repr(objective)}: allowed is an "
            'Objective("METRIC", "minimize"); correct the task'
        )
    declared = {metric.name: metric for metric in metrics}
    allowed = ", ".join(name for name, metric in declared.items() if metric.direction) or "none"
    named = f"{where}: objective {objective.metric!r}"
    if objective.metric not in declared:
        raise BadConfig(f"{named}: task {task} does not report it; allowed: {allowed}; correct the plan")
    direction = declared[objective.metric].direction
    if direction is None:
        raise BadConfig(f"{named} has no direction; allowed: {allowed}; correct the plan")
    if direction != objective.direction:
        better = "lower" if direction == "minimize" else "higher"
        raise BadConfig(
            f"{named} cannot be {objective.direction}d because {better} values are better; "
            f"write Objective({objective.metric!r}, {direction!r})"
        )
