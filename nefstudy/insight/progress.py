"""Where a study stands: counts by phase and cell, fits, the best so far, pace and the time left."""

import math
import time
from collections.abc import Iterable, Mapping

from pydantic import BaseModel

from nefstudy.insight.declared import Declarations
from nefstudy.insight.pace import FIT_METRIC, WINDOW, Pace, pace, remaining_fits
from nefstudy.insight.reading import Source, trials_of
from nefstudy.insight.trials import is_number
from nefstudy.ledger import Coverage, End, Ledger, TrialRow, TrialState
from nefstudy.ledger.record import Direction


class Best(BaseModel):
    """The best complete trial of a cell by its objective.

    Attributes:
        score: the objective's value; `label`, `direction` and `digits` say what it is and how it is written.
        reported: value of the objective's test counterpart, None where there is none; `reported_label` names it.
        quality: headline reconstruction metric; `measure` is its name without the split.
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
    init: str | None
    hidden: int | None
    steps: int | None


class Counts(BaseModel):
    """How many trials are planned and in each state; `requested` ones wait for a worker.

    Attributes:
        fits: trials that fitted a neural dataset.
        remaining: planned trials that have not ended.
        remaining_fits: how many of them will cost a fit, as far as ended trials show.
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


class CellProgress(Counts):
    """Progress of one cell in one phase."""

    cell: str
    best: Best | None = None


class Silent(BaseModel):
    """A running trial whose worker has not reported for minutes; `since` its last report, UTC seconds."""

    phase: str
    cell: str
    key: str
    since: float


class PhaseProgress(Counts, Pace):
    """Progress of one phase over its cells."""

    phase: str
    cells: list[CellProgress]


class Progress(Counts, Pace):
    """Progress of a study: phases x cells, the pace and the time left.

    Attributes:
        alive: a driver holds the study and has been heard from within its lease.
        seq: number of the last event; answers with the same number rest on the same trials.
        at: when this was computed, UTC seconds.
    """

    study: str
    state: str
    alive: bool
    seq: int
    at: float
    phases: list[PhaseProgress]
    best: list[Best]
    silent: list[Silent]


Covered = Mapping[tuple[str, str], Coverage]
"""What the ended trials of each (phase, cell) cover."""


def coverage_of(ledger: Ledger, study: str) -> Covered:
    """Return what fits the ended trials of a study cover: the one part of its progress that reads every trial."""
    return ledger.trials.coverage(study, measure=FIT_METRIC)


def progress(ledger: Ledger, study: str, *, now: float | None = None, covered: Covered | None = None) -> Progress:
    """Return the progress of one study.

    Args:
        covered: as `coverage_of` returned it some seconds ago; None reads it.

    Raises:
        BadConfig: the ledger holds no study of that name.
    """
    source = Source(ledger, study)
    declared = source.declared
    now = time.time() if now is None else now
    seq = ledger.events.last_seq(study)
    best = [best_of(trial, declared) for trial in ledger.trials.best(study)]
    since = driver_since(ledger, study)
    phases: list[PhaseProgress] = []
    ends: list[End] = []
    for phase, cells in cells_by_phase(ledger, study, declared, best=best, covered=covered).items():
        total = sum_of(cells)
        mine = [] if since is None else ledger.trials.ends(study, measure=FIT_METRIC, phase=phase, limit=WINDOW)
        found = _pace(mine, total, since=since, now=now)
        phases.append(PhaseProgress(phase=phase, cells=cells, **total, **found.model_dump()))
        ends += mine if total["remaining"] else []
    ends = sorted(ends, key=lambda end: -end.at)[:WINDOW]
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
        **_pace(ends, whole, since=since, now=now).model_dump(),
    )


def _pace(ends: list[End], total: Mapping[str, int], *, since: float | None, now: float) -> Pace:
    left = {name: total[name] for name in ("remaining", "remaining_fits")}
    return pace(ends, since=since, now=now, **left)


def silent(ledger: Ledger, study: str) -> list[Silent]:
    """Return the running trials whose workers have not reported for minutes, as the driver last listed them."""
    event = ledger.events.latest(study, "silent")
    return [] if event is None else [Silent(**trial) for trial in event.data["trials"]]


def driver_since(ledger: Ledger, study: str) -> float | None:
    """Return when the running driver took the study; None without one, or when its lease has run out."""
    holder = ledger.leases.holder(study)
    if holder is None or holder.seen_s > holder.lease_s:
        return None
    return holder.since


def best_of(trial: TrialRow, declared: Declarations) -> Best:
    """Return a trial as the best of its cell."""
    own = declared.of(trial.phase, trial.cell)
    names = ("val_accuracy", "test_accuracy", "init", "hidden", "steps", own.objective, own.shown.name, *own.quality)
    values = trials_of([trial], names)
    headline = own.headline(values)

    def number(name: str) -> float | None:
        found = values[name][0]
        return found if is_number(found) else None

    return Best(
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
    ledger: Ledger, study: str, declared: Declarations, *, best: Iterable[Best], covered: Covered | None = None
) -> dict[str, list[CellProgress]]:
    """Return the progress of each phase's cells, in the order of the plan."""
    counts = ledger.trials.counts(study)
    covered = coverage_of(ledger, study) if covered is None else covered
    bests = {(item.phase, item.cell): item for item in best}
    names = {*declared.cells, *((phase, cell) for phase, cell, _ in counts)}
    found: dict[str, list[CellProgress]] = {}
    for phase, cell in sorted(names, key=lambda name: declared.order(*name)):
        states = {state: counts.get((phase, cell, state), 0) for state in TrialState}
        own, coverage = declared.of(phase, cell), covered.get((phase, cell), Coverage(0, 0, 0))
        remaining = max(0, own.planned - sum(states[state] for state in ENDED))
        found.setdefault(phase, []).append(
            CellProgress(
                cell=cell,
                planned=own.planned,
                best=bests.get((phase, cell)),
                fits=coverage.measured,
                remaining=remaining,
                remaining_fits=remaining_fits(own, remaining, coverage),
                **{state.lower(): count for state, count in states.items()},
            )
        )
    return found


ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAILED)


def sum_of(rows: Iterable[Counts]) -> dict[str, int]:
    """Return the sums of all counts."""
    total = dict.fromkeys(Counts.model_fields, 0)
    for row in rows:
        for name in total:
            total[name] += getattr(row, name)
    return total


def best_by_cell(best: Iterable[Best]) -> list[Best]:
    """Return the best of each cell over the phases; where a later phase has another objective, its best."""
    chosen: dict[str, Best] = {}
    for item in best:
        other = chosen.get(item.cell)
        if other is None or other.objective != item.objective or rank(item) > rank(other):
            chosen[item.cell] = item
    return list(chosen.values())


def rank(item: Best) -> float:
    """Return a number that is higher for a better score."""
    if item.score is None:
        return -math.inf
    return item.score if item.direction == "maximize" else -item.score
