"""Figures and tables by name, each computed from the columns that it needs.

The page, the report, the REST API and CSV export all call `figure` and `table`, so they show the same values.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from nefstudy.insight.figure import Figure
from nefstudy.insight.gallery import COLUMNS, RECONSTRUCTION, Gallery, reconstructions
from nefstudy.insight.questions import best as best_of
from nefstudy.insight.questions import classifier_curves as curves_of
from nefstudy.insight.questions import classifiers as classifiers_of
from nefstudy.insight.questions import initialization as initialization_of
from nefstudy.insight.questions import replicates as replicates_of
from nefstudy.insight.questions import savings as savings_of
from nefstudy.insight.questions.failures import FailedTrial, failures, stopped
from nefstudy.insight.questions.importance import importance, importance_columns
from nefstudy.insight.questions.parallel import parallel, parallel_columns
from nefstudy.insight.questions.pareto import pareto
from nefstudy.insight.questions.scatter import scatter, scatter_columns
from nefstudy.insight.questions.timeline import best_over_time, pace_figure
from nefstudy.insight.study_data import StudyData, trials_of
from nefstudy.insight.table import Table, TrialRef
from nefstudy.ledger import TrialState

FigureId = Literal["ladders", "scatter", "pace", "best-over-time", "classifier-curves"]
TableId = Literal[
    "best", "initialization", "importance", "parallel", "pareto", "replicates", "classifiers", "savings", "failures",
    "stopped",
]  # fmt: skip
LATEST_FAILED = 200  # newest failed trials, among which the latest of each cause is searched


@dataclass(frozen=True)
class Options:
    """Options of a figure or table: which trials, which metrics and how many.

    None selects the default.
    """

    phase: str | None = None
    cell: str | None = None
    x: str | None = None
    y: str | None = None
    limit: int | None = None


def figure(source: StudyData, id: FigureId, options: Options = Options()) -> Figure:
    """Return a figure of a study by name.

    Raises:
        BadConfig: the study does not exist.
    """
    return FIGURES[id](source, options)


def table(source: StudyData, id: TableId, options: Options = Options()) -> Table:
    """Return a table of a study by name.

    Raises:
        BadConfig: the study does not exist.
    """
    return TABLES[id](source, options)


def quality_of(source: StudyData, options: Options) -> str:
    """Return the headline quality metric of the chosen cells: the first declared one for which a trial has a value."""
    own = source.declared.of(options.phase, options.cell)
    if len(own.quality) < 2:
        return own.quality[0] if own.quality else "steps"
    trials = source.trials(own.quality, phase=options.phase, cell=options.cell)
    headline = own.headline(trials)
    return own.quality[0] if headline is None else headline.name


def _scatter(source: StudyData, options: Options) -> Figure:
    return _plane(source, options, id="scatter", x=options.x or "all_nmi", joined=False)


def _ladders(source: StudyData, options: Options) -> Figure:
    return _plane(source, options, id="ladders", x=options.x or _ladder_x(source, options), joined=True)


def _ladder_x(source: StudyData, options: Options) -> str:
    """Return the name for the x axis: the headline quality, or `steps` if the y axis already shows this quality."""
    own = source.declared.of(options.phase, options.cell)
    headline = quality_of(source, options)
    return "steps" if own.metric(headline).stem == own.shown.stem else headline


def _pooled(source: StudyData, options: Options) -> dict[str, str | None]:
    """Return the phase and cell whose trials share a figure.

    If neither a phase nor y is chosen, and the cells show different metrics, it is the last phase with a result: a
    search without test signals shows validation accuracy, a grid test accuracy.
    """
    at = {"phase": options.phase, "cell": options.cell}
    shown = {own.shown.name for own in source.declared.chosen(**at)}
    if options.phase is not None or options.y is not None or len(shown) < 2:
        return at
    return at | {"phase": _latest_phase(source) or None}


def _latest_phase(source: StudyData) -> str:
    """Return the last phase with a complete trial, or an empty string if there is none."""
    counts = source.ledger.trials.counts(source.study)
    phases = {phase for (phase, _, state), n in counts.items() if state is TrialState.COMPLETE and n}
    return max(phases, key=lambda phase: source.declared.order(phase, ""), default="")


def _plane(source: StudyData, options: Options, *, id: str, x: str, joined: bool) -> Figure:
    at = _pooled(source, options)
    y = options.y or source.declared.of(**at).shown.name
    trials = source.trials(scatter_columns(source.declared, **at, x=x, y=y), **at)
    more = {} if options.limit is None else {"limit": options.limit}
    return scatter(trials, source.declared, id=id, x=x, y=y, joined=joined, **at, **more)  # type: ignore[arg-type]


def _pace(source: StudyData, options: Options) -> Figure:
    return pace_figure(source.trials(("ended_at",), phase=options.phase, cell=options.cell))


def _best_over_time(source: StudyData, options: Options) -> Figure:
    own = source.declared.of(options.phase, options.cell)
    names = ("key", "phase", "cell", "ended_at", own.objective)
    return best_over_time(source.trials(names, phase=options.phase, cell=options.cell), own)


def _best(source: StudyData, options: Options) -> Table:
    limit = options.limit or 1
    rows = source.ledger.trials.best(source.study, phase=options.phase, cell=options.cell, limit=limit)
    return best_of.best(trials_of(rows, (*best_of.COLUMNS, *source.metrics())), source.declared, limit=limit)


def _initialization(source: StudyData, options: Options) -> Table:
    phase = options.phase or main_phase(source)
    trials = source.trials((*initialization_of.COLUMNS, *source.metrics()), phase=phase, cell=options.cell)
    return initialization_of.initialization(trials, source.declared, phase=phase)


def main_phase(source: StudyData) -> str:
    """Return the last phase with a result, or an empty string if there is none."""
    counts = source.ledger.trials.counts(source.study)
    phases = {phase for (phase, _, state), n in counts.items() if state is TrialState.COMPLETE and n}
    for phase in sorted(phases, key=lambda phase: source.declared.order(phase, ""), reverse=True):
        if initialization_of.last_phase(
            source.trials(("phase", "cell", *source.metrics()), phase=phase), source.declared
        ):
            return phase
    return ""


def _importance(source: StudyData, options: Options) -> Table:
    at = {"phase": options.phase, "cell": options.cell}
    return importance(source.trials(importance_columns(source.declared, **at), **at), source.declared, **at)


def _parallel(source: StudyData, options: Options) -> Table:
    at = {"phase": options.phase, "cell": options.cell}
    more = {} if options.limit is None else {"limit": options.limit}
    trials = source.trials(parallel_columns(source.declared, **at), **at)
    return parallel(trials, source.declared, **at, **more)  # type: ignore[arg-type]


def _pareto(source: StudyData, options: Options) -> Table:
    at = _pooled(source, options)
    x, y = options.x or quality_of(source, options), options.y or source.declared.of(**at).shown.name
    trials = source.trials(scatter_columns(source.declared, **at, x=x, y=y), **at)
    return pareto(trials, source.declared, x=x, y=y, **at)


def _replicates(source: StudyData, options: Options) -> Table:
    """Return the table of replicates, reading configurations only if there are several seeds."""
    at = {"phase": options.phase, "cell": options.cell}
    names = (*replicates_of.COLUMNS, *source.metrics())
    several = len(set(source.trials(("seed",), **at)["seed"])) > 1
    trials = source.trials(names, **at) if several else trials_of((), names)
    return replicates_of.replicates(trials, source.declared, each=options.limit)


def _classifiers(source: StudyData, options: Options) -> Table:
    """Return the table of classifiers for the chosen phase, by default the last phase with a result."""
    names = (*classifiers_of.COLUMNS, *source.metrics())
    phase = options.phase or main_phase(source)
    return classifiers_of.classifiers(source.trials(names, phase=phase, cell=options.cell), source.declared)


def _classifier_curves(source: StudyData, options: Options) -> Figure:
    """Return the training curves for the chosen phase, by default the last phase with a result."""

    def curves(trial: TrialRef) -> curves_of.Curves:
        return source.ledger.trials.curves(source.study, trial.phase, key=trial.key)

    phase = options.phase or main_phase(source)
    trials = source.trials(curves_of.COLUMNS, phase=phase, cell=options.cell)
    return curves_of.classifier_curves(trials, curves=curves)


def _savings(source: StudyData, options: Options) -> Table:
    return savings_of.savings(source.trials(savings_of.COLUMNS, phase=options.phase, cell=options.cell))


def _failures(source: StudyData, options: Options) -> Table:
    def chosen(counts: Mapping[tuple[str, str, str], int]) -> dict[tuple[str, str, str], int]:
        return {
            key: n for key, n in counts.items()
            if options.phase in (None, key[0]) and options.cell in (None, key[1])
        }  # fmt: skip

    failed = chosen(source.ledger.trials.causes(source.study))
    rows = source.ledger.trials.page(
        source.study, phase=options.phase, cell=options.cell, state=TrialState.FAILED, sort="-ended_at",
        limit=LATEST_FAILED,
    ).rows if failed else ()  # fmt: skip
    latest = [FailedTrial(row.key, row.phase, row.cell, row.cause, row.error) for row in rows]
    return failures(failed, chosen(source.ledger.trials.retries(source.study)), latest=latest)


def _stopped(source: StudyData, _options: Options) -> Table:
    return stopped(source.ledger.studies.stopped_cells(source.study))


def gallery(source: StudyData, options: Options, *, is_there: Callable[[str], bool]) -> Gallery:
    """Return the reconstructions of the chosen cell, by default the first cell with a complete trial.

    Args:
        is_there: returns whether the file at a path relative to the root can still be read.
    """
    trials = source.trials(("phase", "cell"), phase=options.phase, cell=options.cell)
    cells = sorted(set(zip(trials["phase"], trials["cell"], strict=True)), key=lambda at: source.declared.order(*at))
    phase, cell = cells[0] if cells else (options.phase, options.cell)
    own = source.declared.of(phase, cell)
    in_cell = source.trials((*COLUMNS, *own.quality), phase=phase, cell=cell)

    def has(trial: TrialRef) -> bool:
        path = source.ledger.trials.artifacts(source.study, trial.phase, key=trial.key).get(RECONSTRUCTION)
        return path is not None and is_there(path)

    return reconstructions(in_cell if cells else trials_of((), COLUMNS), own, has=has)


FIGURES: dict[FigureId, Callable[[StudyData, Options], Figure]] = {
    "ladders": _ladders,
    "scatter": _scatter,
    "pace": _pace,
    "best-over-time": _best_over_time,
    "classifier-curves": _classifier_curves,
}
TABLES: dict[TableId, Callable[[StudyData, Options], Table]] = {
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
