"""Where a study stands: counts by phase and cell, the best so far, the pace and the time left."""

import math
import time
from collections.abc import Iterable, Sequence

from nefstudy.errors import BadConfig
from nefstudy.ledger import Ledger, StudyRow, TrialRow, TrialState
from nefstudy.service.models import (
    Best,
    CellProgress,
    Counts,
    Pace,
    PhaseProgress,
    PhaseStatus,
    Progress,
    Silent,
    Status,
    StudyCard,
    StudyStatus,
)
from nefstudy.service.setbacks import export_trouble, setbacks, stopped_cells

WINDOW = 200  # trials the pace is taken over: 7 % counting error, and young enough to follow a changed cluster


def progress(ledger: Ledger, study: str, *, now: float | None = None) -> Progress:
    """Progress of one study.

    Raises:
        BadConfig: the ledger holds no study of that name.
    """
    row = ledger.studies.get(study)
    if row is None:
        names = ", ".join(item.study for item in ledger.studies.all()) or "none yet"
        raise BadConfig(f"unknown study {study!r}: the ledger holds {names}; name one of them")
    now = time.time() if now is None else now
    seq = ledger.events.last_seq(study)
    best = [best_of(trial) for trial in ledger.trials.best(study)]
    phases = _phases(ledger, study, best=best)
    since = driver_since(ledger, study)
    ends: list[float] = []
    for phase in phases:
        mine = [] if since is None else ledger.trials.ends(study, phase=phase.phase, limit=WINDOW)
        _put_pace(phase, pace(mine, since=since, remaining=phase.remaining, now=now))
        if phase.remaining:
            ends += mine
    total = Counts(**_sum(phases))
    ends = sorted(ends, reverse=True)[:WINDOW]
    return Progress(
        study=study,
        state=row.state,
        alive=since is not None,
        seq=seq,
        at=now,
        phases=phases,
        best=_best_by_cell(best),
        silent=[] if since is None or not total.running else silent(ledger, study),
        **total.model_dump(),
        **pace(ends, since=since, remaining=total.remaining, now=now).model_dump(),
    )


def silent(ledger: Ledger, study: str) -> list[Silent]:
    """The running trials whose workers have not reported for minutes, as the driver last listed them."""
    event = ledger.events.latest(study, "silent")
    return [] if event is None else [Silent(**trial) for trial in event.data["trials"]]


def status(ledger: Ledger) -> Status:
    """Every study at a glance, as `nefstudy status --json` prints it."""
    studies = [_study_status(progress(ledger, row.study)) for row in ledger.studies.all()]
    for study in studies:
        study.setbacks, study.stopped_cells = setbacks(ledger, study.study), stopped_cells(ledger, study.study)
        study.unexported = ledger.outbox.size(study.study)
        study.export = export_trouble(ledger, study.study) if study.unexported else None
    return Status(studies=studies)


def card(ledger: Ledger, row: StudyRow) -> StudyCard:
    """A study's counts over all phases and cells."""
    return StudyCard(
        study=row.study,
        state=row.state,
        alive=driver_since(ledger, row.study) is not None,
        created_at=row.created_at,
        updated_at=row.updated_at,
        **_sum(_phases(ledger, row.study, best=[])),
    )


def driver_since(ledger: Ledger, study: str) -> float | None:
    """When the driver now at work took the study; None when there is none, or it has fallen silent."""
    holder = ledger.leases.holder(study)
    if holder is None or holder.seen_s > holder.lease_s:
        return None
    return holder.since


def pace(ends: Sequence[float], *, since: int | float | None, remaining: int, now: int | float) -> Pace:
    """The rate of trial ends since a driver started, and the time the remaining ones take at it.

    Args:
        ends: when the latest trials ended, newest first; those before `since` do not count.
        since: when the driver took the study; None if none is at work, so that nothing is known.
    """
    if since is None:
        return Pace()
    counted = [end for end in ends if end >= since]
    if not counted:
        return Pace(eta_s=0.0, eta_low_s=0.0, eta_high_s=0.0) if remaining == 0 else Pace()
    # A full window starts with a trial's end, which is then the clock's start and not part of the count.
    full = len(counted) >= WINDOW
    number = len(counted) - 1 if full else len(counted)
    seconds = max(now - (counted[-1] if full else since), 1e-3)
    rate = number / seconds
    error = 2 / math.sqrt(number)
    return Pace(
        per_minute=60 * rate,
        eta_s=remaining / rate,
        eta_low_s=remaining / (rate * (1 + error)),
        eta_high_s=remaining / (rate * (1 - error)) if error < 1 else (None if remaining else 0.0),
    )


def best_of(trial: TrialRow) -> Best:
    """A trial as the best of its cell."""
    return Best(
        cell=trial.cell,
        phase=trial.phase,
        key=trial.key,
        val_accuracy=_finite(trial.val_accuracy),
        test_accuracy=_finite(trial.test_accuracy),
        quality=_finite(trial.quality),
        measure="psnr" if "all_psnr" in trial.metrics else "iou" if "all_iou" in trial.metrics else None,
        init=trial.init,
        hidden=trial.hidden,
        steps=trial.steps,
    )


def _phases(ledger: Ledger, study: str, *, best: Iterable[Best]) -> list[PhaseProgress]:
    counts = ledger.trials.counts(study)
    planned = ledger.studies.planned(study)
    bests = {(item.phase, item.cell): item for item in best}
    names = dict.fromkeys([*planned, *((phase, cell) for phase, cell, _ in counts)])
    cells: dict[str, list[CellProgress]] = {}
    for phase, cell in sorted(names, key=lambda name: name[0]):
        by_state = {state.lower(): counts.get((phase, cell, state), 0) for state in TrialState}
        row = CellProgress(cell=cell, planned=planned.get((phase, cell), 0), best=bests.get((phase, cell)), **by_state)
        cells.setdefault(phase, []).append(row)
    return [PhaseProgress(phase=phase, cells=rows, **_sum(rows)) for phase, rows in cells.items()]


def _sum(rows: Iterable[Counts]) -> dict[str, int]:
    total = dict.fromkeys(Counts.model_fields, 0)
    for row in rows:
        for name in total:
            total[name] += getattr(row, name)
    return total


def _put_pace(phase: PhaseProgress, found: Pace) -> None:
    for name in Pace.model_fields:
        setattr(phase, name, getattr(found, name))


def _best_by_cell(best: Iterable[Best]) -> list[Best]:
    """The best of each cell over the phases; cells in order of appearance."""
    chosen: dict[str, Best] = {}
    for item in best:
        other = chosen.get(item.cell)
        if other is None or _accuracy(item) > _accuracy(other):
            chosen[item.cell] = item
    return list(chosen.values())


def _accuracy(item: Best) -> float:
    return -math.inf if item.val_accuracy is None else item.val_accuracy


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _study_status(found: Progress) -> StudyStatus:
    names = {*Counts.model_fields, *Pace.model_fields, "phase"}
    return StudyStatus(
        study=found.study,
        state=found.state,
        alive=found.alive,
        phases=[PhaseStatus(**phase.model_dump(include=names)) for phase in found.phases],
        best=found.best,
        silent=found.silent,
        **{name: getattr(found, name) for name in Pace.model_fields},
    )
