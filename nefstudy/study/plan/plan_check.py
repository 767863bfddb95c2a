"""Checks of a whole plan before it is recorded: points, metrics, names, and trials that occur in two cells."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product

from nefstudy.config import TrialConfig
from nefstudy.errors import BadConfig
from nefstudy.insight.catalog import FIGURES, TABLES
from nefstudy.insight.questions.scatter import DOT_COLUMNS
from nefstudy.ledger.sql.filters import COLUMNS, KINDS
from nefstudy.ledger.sql.rows import TEXTS
from nefstudy.scalars import Scalar
from nefstudy.study.plan.study_plan import CellPlan, StudyPlan
from nefstudy.study.samplers.stream import Cell
from nefstudy.study.space import Categorical, Dimension, Real, Space, Whole, drawn, space_size
from nefstudy.tasks.parameters import parameters
from nefstudy.tasks.task import Metric, Point

LISTED_POINTS = 1000  # most points of a small space; all of them are checked
QUANTILES = (1e-9, 0.5, 1 - 1e-9)  # of a range; not 0 and 1: a search draws the exact ends with probability 0

RESERVED_METRICS = frozenset({*COLUMNS, *TEXTS, *DOT_COLUMNS, "error"})
"""Names of columns of trials and of tables, which a metric with a direction must not have."""

SECTIONS = (*FIGURES, *TABLES, "reconstructions")  # parts of the page that a task may name


def check_plan(plan: StudyPlan) -> None:
    """Check a plan for errors that would otherwise appear only during a run.

    Raises:
        BadConfig: a point cannot be configured, a metric cannot be compared, a section does not exist, two cells of a
            phase have the same trial, or a word means different things in two cells of which one takes over the
            points of the other.
    """
    owners: dict[tuple[str, str], dict[str, str]] = {}
    for cell in plan.cells:
        _check_words(cell, plan.cell(cell.sampler.after or "", cell.cell))
        sampled = plan.sampled(cell)
        probes, trials = _configured(sampled, _probes(cell.space)), _named_trials(cell, sampled)
        first = next(probes if trials is None else trials, None) or next(probes)
        _check_sections(sampled.task.sections, where=cell.cell)
        _check_metrics(plan.metrics(cell), first, where=cell.cell, curve=sampled.task.curve)
        if trials is None:
            deque(probes, maxlen=0)  # constructing a configuration checks it
        else:
            keys = (trial.key for trial in (first, *trials))
            _check_distinct(cell, keys, seen=owners.setdefault((cell.phase, cell.task), {}))


def _named_trials(cell: CellPlan, sampled: Cell) -> Iterator[TrialConfig] | None:
    """Return all trials that a cell may suggest, or None if they are not listed and cannot be enumerated."""
    listed = cell.sampler.listed(sampled)
    if listed is not None:
        return iter(listed)
    size = space_size(cell.space)
    is_small = size is not None and size <= LISTED_POINTS and cell.sampler.after is None
    return _configured(sampled, _all_points(cell.space)) if is_small else None


def _configured(sampled: Cell, points: Iterable[Point]) -> Iterator[TrialConfig]:
    return (sampled.trial(point) for point in points)


def _check_distinct(cell: CellPlan, keys: Iterable[str], *, seen: dict[str, str]) -> None:
    """Check that a cell shares no trial key with an earlier cell of its phase, and add the cell's keys to `seen`."""
    for key in keys:
        if seen.setdefault(key, cell.cell) != cell.cell:
            raise BadConfig(
                f"cells {seen[key]!r} and {cell.cell!r} of phase {cell.phase!r} both have trial {key}, and a phase "
                "holds a trial once; give one of them another phase or other points"
            )


def _check_words(cell: CellPlan, earlier: CellPlan | None) -> None:
    """Check that init and classifier names mean the same in a cell as in the earlier phase whose points it uses."""
    if earlier is None:
        return
    for name, own, other in (
        ("init", cell.inits, earlier.inits),
        ("classifier", cell.classifiers, earlier.classifiers),
    ):
        for word in sorted({*own, *other}) if name in cell.space else ():
            if own.get(word) != other.get(word):
                raise BadConfig(
                    f"{cell.cell}: {name} {word!r} means something else in phase {earlier.phase!r}, from which this "
                    f"cell takes over points; give both cells the same `{name}s`"
                )


def _all_points(space: Space) -> Iterator[Point]:
    values = map(_values, space.values())
    return (dict(zip(space, point, strict=True)) for point in product(*values))


def _values(dimension: Dimension) -> Iterable[Scalar]:
    """Return all values of a finite dimension."""
    if isinstance(dimension, Whole):
        return range(dimension.low, dimension.high + 1, dimension.multiple)
    return (dimension.low,) if isinstance(dimension, Real) else dimension.values


def _probes(space: Space) -> Iterator[Point]:
    """Yield a space's midpoint, and points that differ from it in one parameter: each choice or each end of a range."""
    middle: Point = {name: drawn(dimension, 0.5) for name, dimension in space.items()}
    yield dict(middle)
    for name, dimension in space.items():
        ends = (drawn(dimension, quantile) for quantile in QUANTILES)
        for value in dimension.values if isinstance(dimension, Categorical) else ends:
            yield {**middle, name: value}


def _check_sections(sections: Iterable[str], *, where: str) -> None:
    wrong = [name for name in sections if name not in SECTIONS]
    if wrong:
        raise BadConfig(
            f"{where}: the task's sections {wrong} are not figures or tables; allowed: {', '.join(SECTIONS)}; correct "
            "the task"
        )


def _check_metrics(metrics: Sequence[Metric], trial: TrialConfig, *, where: str, curve: str | None) -> None:
    names = [metric.name for metric in metrics]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise BadConfig(f"{where}: the task reports the metric {twice!r} twice; leave one of them out")
    compared: Mapping[str, Metric] = {metric.name: metric for metric in metrics if metric.direction}
    if curve is not None and curve not in compared:
        raise BadConfig(
            f"{where}: the task's curve {curve!r} is not a metric with a direction; allowed: "
            f"{', '.join(compared) or 'none'}; correct the task"
        )
    taken = {*RESERVED_METRICS, *parameters(trial.model_dump(mode="json"))}
    name = next((name for name in compared if name in taken or name.startswith(tuple(KINDS))), None)
    if name is not None:
        raise BadConfig(
            f"{where}: metric {name!r} has the name of a parameter or of a trial column, which figures would show "
            f"instead; rename it, as {'found_' + name.replace('.', '_')!r}"
        )
