"""The progress of a study: counts by phase and cell, fits, best trials, pace and time left."""

import math
import time
from collections.abc import Iterable

from pydantic import BaseModel

from nefstudy.insight.declared import Declarations
from nefstudy.insight.pace import FIT_METRIC, FIT_SECONDS, WINDOW, Pace, pace, remaining_fits
from nefstudy.insight.study_data import StudyData, trials_of
from nefstudy.insight.trials import is_number
from nefstudy.insight.work import NO_COVERAGE, CoverageByCell, RemainingWork, WorkEstimate, total_remaining
from nefstudy.ledger import Ledger, TrialRow, TrialState
from nefstudy.ledger.record import Direction
from nefstudy.scalars import Scalar


class BestTrial(BaseModel):
    """The best complete trial of a cell according to its objective.

    Attributes:
        score: value of the objective; `label`, `direction` and `digits` describe it and its format.
        reported: value of the objective's test counterpart, None if there is none; `reported_label` is its label.
        quality: value of the headline reconstruction metric; `measure` is its name without the split.
    """

    cell: str
    phase: str
    key: str
    objective: str
    label: str
    direction: Direction
    score: float | None
    digits: int
    reported: float | None
    reported_label: str | None
    val_accuracy: float | None
    test_accuracy: float | None
    quality: float | None
    measure: str | None
    init: Scalar | None
    hidden: Scalar | None
    steps: Scalar | None


class TrialCounts(BaseModel):
    """The number of planned trials, and the number of trials in each state.

    Trials in the state `requested` are waiting for a worker.

    Attributes:
        fits: trials that fitted a neural dataset.
        remaining: planned trials that are not terminal.
        remaining_fits: estimated number of remaining trials that will need a fit.
    """

    planned: int = 0
    requested: int = 0
    running: int = 0
    complete: int = 0
    failed: int = 0
    interrupted: int = 0
    pruned: int = 0
    fits: int = 0
    remaining: int = 0
    remaining_fits: int = 0


class CellProgress(TrialCounts):
    """Progress of one cell in one phase."""

    cell: str
    best: BestTrial | None = None


class SilentTrial(BaseModel):
    """A running trial whose worker has not reported for several minutes.

    `since` is the time of its last report in UTC seconds.
    """

    phase: str
    cell: str
    key: str
    since: float


class PhaseProgress(TrialCounts, Pace):
    """Progress of one phase over its cells."""

    phase: str
    cells: list[CellProgress]


class Progress(TrialCounts, Pace):
    """Progress of a study by phase and cell, with pace and time left.

    Attributes:
        alive: whether a driver holds a valid lease on the study.
        seq: number of the last event; responses with the same number are computed from the same trials.
        at: when this was computed, UTC seconds.
    """

    study: str
    state: str
    alive: bool
    seq: int
    at: float
    phases: list[PhaseProgress]
    best: list[BestTrial]
    silent: list[SilentTrial]


def coverage_of(ledger: Ledger, study: str) -> CoverageByCell:
    """Return the coverage of each cell, the only part of a study's progress that reads every trial."""
    return ledger.trials.coverage(study, measure=FIT_METRIC, part=FIT_SECONDS)


def progress(
    ledger: Ledger, study: str, *, now: float | None = None, coverage: CoverageByCell | None = None
) -> Progress:
    """Return the progress of one study.

    Args:
        coverage: a recent result of `coverage_of`, None to compute it.

    Raises:
        BadConfig: the study does not exist.
    """
    source = StudyData(ledger, study)
    declared = source.declared
    now = time.time() if now is None else now
    seq = ledger.events.last_seq(study)
    best = [best_of(trial, declared) for trial in ledger.trials.best(study)]
    coverage = coverage_of(ledger, study) if coverage is None else coverage
    work = WorkEstimate(declared, coverage)
    since = driver_since(ledger, study)
    ends = [] if since is None else ledger.trials.ends(study, measure=FIT_METRIC, limit=WINDOW)
    phases: list[PhaseProgress] = []
    remaining: list[RemainingWork] = []
    for phase, cells in cells_by_phase(ledger, study, declared, best=best, coverage=coverage).items():
        each = (work.remaining((phase, c.cell), trials=c.remaining, fits=c.remaining_fits) for c in cells)
        remaining.append(total_remaining(each))
        own = pace(ends, since=since, remaining=remaining[-1], seconds=work.seconds, now=now, phase=phase)
        phases.append(PhaseProgress(phase=phase, cells=cells, **sum_of(cells), **own.model_dump()))
    whole = sum_of(phases)
    return Progress(
        study=study,
        state=source.row.state,
        alive=since is not None,
        seq=seq,
        at=now,
        phases=phases,
        best=best_by_cell(best),
        silent=[] if since is None or not whole["running"] else silent(ledger, study),
        **whole,
        **pace(ends, since=since, remaining=total_remaining(remaining), seconds=work.seconds, now=now).model_dump(),
    )


def silent(ledger: Ledger, study: str) -> list[SilentTrial]:
    """Return the running trials whose workers have not reported for several minutes, as last recorded by the driver."""
    event = ledger.events.latest(study, "silent")
    return [] if event is None else [SilentTrial(**trial) for trial in event.data["trials"]]


def driver_since(ledger: Ledger, study: str) -> float | None:
    """Return the time at which the running driver acquired the study's lease.

    Return None if there is no driver or its lease has expired.
    """
    holder = ledger.leases.holder(study)
    if holder is None or holder.seen_s > holder.lease_s:
        return None
    return holder.since


def best_of(trial: TrialRow, declared: Declarations) -> BestTrial:
    """Return the summary of a cell's best trial."""
    own = declared.of(trial.phase, trial.cell)
    names = ("val_accuracy", "test_accuracy", "init", "hidden", "steps", own.objective, own.shown.name, *own.quality)
    values = trials_of([trial], names)
    headline = own.headline(values)

    def number(name: str) -> float | None:
        value = values[name][0]
        return value if is_number(value) else None

    return BestTrial(
        cell=trial.cell,
        phase=trial.phase,
        key=trial.key,
        objective=own.objective,
        label=own.objective_metric.label,
        direction=own.direction,
        score=number(own.objective),
        digits=own.objective_metric.digits,
        reported=number(own.reported.name) if own.reported else None,
        reported_label=own.reported.label if own.reported else None,
        val_accuracy=number("val_accuracy"),
        test_accuracy=number("test_accuracy"),
        quality=number(headline.name) if headline else None,
        measure=headline.stem if headline else None,
        init=values["init"][0],
        hidden=values["hidden"][0],
        steps=values["steps"][0],
    )


def cells_by_phase(
    ledger: Ledger,
    study: str,
    declared: Declarations,
    *,
    best: Iterable[BestTrial],
    coverage: CoverageByCell | None = None,
) -> dict[str, list[CellProgress]]:
    """Return the progress of each phase's cells, in plan order."""
    counts = ledger.trials.counts(study)
    coverage = coverage_of(ledger, study) if coverage is None else coverage
    bests = {(item.phase, item.cell): item for item in best}
    names = {*declared.cells, *((phase, cell) for phase, cell, _ in counts)}
    phases: dict[str, list[CellProgress]] = {}
    for phase, cell in sorted(names, key=lambda name: declared.order(*name)):
        states = {state: counts.get((phase, cell, state), 0) for state in TrialState}
        own, covered = declared.of(phase, cell), coverage.get((phase, cell), NO_COVERAGE)
        remaining = max(0, own.planned - sum(count for state, count in states.items() if state.is_terminal))
        phases.setdefault(phase, []).append(
            CellProgress(
                cell=cell,
                planned=own.planned,
                best=bests.get((phase, cell)),
                fits=covered.measured,
                remaining=remaining,
                remaining_fits=remaining_fits(own, remaining, covered),
                **{state.lower(): count for state, count in states.items()},
            )
        )
    return phases


def sum_of(rows: Iterable[TrialCounts]) -> dict[str, int]:
    """Return the sums of several trial counts."""
    total = dict.fromkeys(TrialCounts.model_fields, 0)
    for row in rows:
        for name in total:
            total[name] += getattr(row, name)
    return total


def best_by_cell(best: Iterable[BestTrial]) -> list[BestTrial]:
    """Return the best trial of each cell over all phases.

    If a later phase has another objective or test metric, it takes precedence: a search without test signals has more
    validation signals than the grid that follows it, and scores on different signals are not comparable.
    """
    chosen: dict[str, BestTrial] = {}
    for item in best:
        other = chosen.get(item.cell)
        metrics = item.objective, item.reported_label
        if other is None or (other.objective, other.reported_label) != metrics or rank(item) > rank(other):
            chosen[item.cell] = item
    return list(chosen.values())


def rank(item: BestTrial) -> float:
    """Return a sort key that is larger for a better score."""
    if item.score is None:
        return -math.inf
    return item.score if item.direction == "maximize" else -item.score
