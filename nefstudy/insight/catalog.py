"""Figures and tables by name: what each reads from a ledger and how it is made.

Page, report, REST and CSV call `figure` and `table`, so they show the same values.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from nefstudy.insight import best as best_of
from nefstudy.insight import classifiers as classifiers_of
from nefstudy.insight import initialization as initialization_of
from nefstudy.insight import replicates as replicates_of
from nefstudy.insight import savings as savings_of
from nefstudy.insight.failures import FailedTrial, failures, stopped
from nefstudy.insight.figure import Figure
from nefstudy.insight.gallery import COLUMNS, RECONSTRUCTION, Gallery, reconstructions
from nefstudy.insight.importance import importance, importance_columns
from nefstudy.insight.parallel import parallel, parallel_columns
from nefstudy.insight.pareto import pareto
from nefstudy.insight.reading import Source, trials_of
from nefstudy.insight.scatter import scatter, scatter_columns
from nefstudy.insight.table import Table, TrialRef
from nefstudy.insight.timeline import best_over_time, pace_figure
from nefstudy.ledger import TrialState

FigureId = Literal["ladders", "scatter", "pace", "best-over-time"]
TableId = Literal[
    "best", "initialization", "importance", "parallel", "pareto", "replicates", "classifiers", "savings", "failures",
    "stopped",
]  # fmt: skip
LATEST = 200  # failed trials among which the latest of each cause is looked for


@dataclass(frozen=True)
class Options:
    """Which trials, which metrics, how many: None takes what the question asks by default."""

    phase: str | None = None
    cell: str | None = None
    x: str | None = None
    y: str | None = None
    limit: int | None = None


def figure(source: Source, id: FigureId, options: Options = Options()) -> Figure:
    """Return the named figure of a study.

    Raises:
        BadConfig: no such study.
    """
    return FIGURES[id](source, options)


def table(source: Source, id: TableId, options: Options = Options()) -> Table:
    """Return the named table of a study.

    Raises:
        BadConfig: no such study.
    """
    return TABLES[id](source, options)


def quality_of(source: Source, options: Options) -> str:
    """Return the headline quality of the chosen cells: the first declared one that a trial has."""
    own = source.declared.of(options.phase, options.cell)
    if len(own.quality) < 2:
        return own.quality[0] if own.quality else "steps"
    found = source.trials(own.quality, phase=options.phase, cell=options.cell)
    headline = own.headline(found)
    return own.quality[0] if headline is None else headline.name


def _scatter(source: Source, options: Options) -> Figure:
    return _plane(source, options, id="scatter", x=options.x or "all_nmi", joined=False)


def _ladders(source: Source, options: Options) -> Figure:
    return _plane(source, options, id="ladders", x=options.x or _across(source, options), joined=True)


def _across(source: Source, options: Options) -> str:
    """Return the headline quality, or the step count where the quality itself is what is compared."""
    own = source.declared.of(options.phase, options.cell)
    headline = quality_of(source, options)
    return "steps" if own.metric(headline).stem == own.shown.stem else headline


def _plane(source: Source, options: Options, *, id: str, x: str, joined: bool) -> Figure:
    at = {"phase": options.phase, "cell": options.cell}
    y = options.y or source.declared.of(**at).shown.name
    trials = source.trials(scatter_columns(source.declared, **at, x=x, y=y), **at)
    more = {} if options.limit is None else {"limit": options.limit}
    return scatter(trials, source.declared, id=id, x=x, y=y, joined=joined, **at, **more)  # type: ignore[arg-type]


def _pace(source: Source, options: Options) -> Figure:
    return pace_figure(source.trials(("ended_at",), phase=options.phase, cell=options.cell))


def _best_over_time(source: Source, options: Options) -> Figure:
    own = source.declared.of(options.phase, options.cell)
    names = ("key", "phase", "cell", "ended_at", own.objective)
    return best_over_time(source.trials(names, phase=options.phase, cell=options.cell), own)


def _best(source: Source, options: Options) -> Table:
    limit = options.limit or 1
    rows = source.ledger.trials.best(source.study, phase=options.phase, cell=options.cell, limit=limit)
    return best_of.best(trials_of(rows, (*best_of.COLUMNS, *source.metrics())), source.declared, limit=limit)


def _initialization(source: Source, options: Options) -> Table:
    phase = options.phase or main_phase(source)
    trials = source.trials((*initialization_of.COLUMNS, *source.metrics()), phase=phase, cell=options.cell)
    return initialization_of.initialization(trials, source.declared, phase=phase)


def main_phase(source: Source) -> str:
    """Return the last phase with a result, reading no more phases than that takes."""
    counts = source.ledger.trials.counts(source.study)
    phases = {phase for (phase, _, state), n in counts.items() if state is TrialState.COMPLETE and n}
    for phase in sorted(phases, key=lambda phase: source.declared.order(phase, ""), reverse=True):
        if initialization_of.last_phase(
            source.trials(("phase", "cell", *source.metrics()), phase=phase), source.declared
        ):
            return phase
    return ""


def _importance(source: Source, options: Options) -> Table:
    at = {"phase": options.phase, "cell": options.cell}
    return importance(source.trials(importance_columns(source.declared, **at), **at), source.declared, **at)


def _parallel(source: Source, options: Options) -> Table:
    at = {"phase": options.phase, "cell": options.cell}
    more = {} if options.limit is None else {"limit": options.limit}
    trials = source.trials(parallel_columns(source.declared, **at), **at)
    return parallel(trials, source.declared, **at, **more)  # type: ignore[arg-type]


def _pareto(source: Source, options: Options) -> Table:
    at = {"phase": options.phase, "cell": options.cell}
    x, y = options.x or quality_of(source, options), options.y or source.declared.of(**at).shown.name
    trials = source.trials(scatter_columns(source.declared, **at, x=x, y=y), **at)
    return pareto(trials, source.declared, x=x, y=y, **at)


def _replicates(source: Source, options: Options) -> Table:
    """Read configurations only where there are several seeds."""
    at = {"phase": options.phase, "cell": options.cell}
    names = (*replicates_of.COLUMNS, *source.metrics())
    several = len(set(source.trials(("seed",), **at)["seed"])) > 1
    trials = source.trials(names, **at) if several else trials_of((), names)
    return replicates_of.replicates(trials, source.declared, each=options.limit)


def _classifiers(source: Source, options: Options) -> Table:
    """Read the last phase with a result, unless another is chosen."""
    names = (*classifiers_of.COLUMNS, *source.metrics())
    phase = options.phase or main_phase(source)
    return classifiers_of.classifiers(source.trials(names, phase=phase, cell=options.cell), source.declared)


def _savings(source: Source, options: Options) -> Table:
    return savings_of.savings(source.trials(savings_of.COLUMNS, phase=options.phase, cell=options.cell))


def _failures(source: Source, options: Options) -> Table:
    def chosen(counts: Mapping[tuple[str, str, str], int]) -> dict[tuple[str, str, str], int]:
        return {
            place: n for place, n in counts.items()
            if options.phase in (None, place[0]) and options.cell in (None, place[1])
        }  # fmt: skip

    failed = chosen(source.ledger.trials.causes(source.study))
    rows = source.ledger.trials.page(
        source.study, phase=options.phase, cell=options.cell, state=TrialState.FAILED, sort="-ended_at", limit=LATEST
    ).rows if failed else ()  # fmt: skip
    latest = [FailedTrial(row.key, row.phase, row.cell, row.cause, row.error) for row in rows]
    return failures(failed, chosen(source.ledger.trials.retries(source.study)), latest=latest)


def _stopped(source: Source, _options: Options) -> Table:
    return stopped(source.ledger.studies.stopped_cells(source.study))


def gallery(source: Source, options: Options, *, is_there: Callable[[str], bool]) -> Gallery:
    """Return the reconstructions of one cell: of the chosen one, else of the first that has a complete trial.

    Args:
        is_there: whether a file at a path relative to the root can still be read.
    """
    trials = source.trials(("phase", "cell"), phase=options.phase, cell=options.cell)
    places = sorted(set(zip(trials["phase"], trials["cell"], strict=True)), key=lambda at: source.declared.order(*at))
    phase, cell = places[0] if places else (options.phase, options.cell)
    own = source.declared.of(phase, cell)
    found = source.trials((*COLUMNS, *own.quality), phase=phase, cell=cell)

    def has(trial: TrialRef) -> bool:
        path = source.ledger.trials.artifacts(source.study, trial.phase, key=trial.key).get(RECONSTRUCTION)
        return path is not None and is_there(path)

    return reconstructions(found if places else trials_of((), COLUMNS), own, has=has)


FIGURES: dict[FigureId, Callable[[Source, Options], Figure]] = {
    "ladders": _ladders,
    "scatter": _scatter,
    "pace": _pace,
    "best-over-time": _best_over_time,
}
TABLES: dict[TableId, Callable[[Source, Options], Table]] = {
    "best": _best,
    "initialization": _initialization,
    "importance": _importance,
    "parallel": _parallel,
    "pareto": _pareto,
    "replicates": _replicates,
    "classifiers": _classifiers,
    "savings": _savings,
    "failures": _failures,
    "stopped": _stopped,
}
