"""The pace of a study: its rates, its remaining fits and the estimated time left.

A trial costs a fit unless its neural dataset exists or was fitted for another rung of its ladder. A trial with a reused
result costs nothing. Only a trial that fitted reports more than zero field-steps.
"""

import math
from collections.abc import Mapping, Sequence

from pydantic import BaseModel

from nefstudy.insight.declared import CellKey, Declared
from nefstudy.insight.work import RemainingWork, TrialSeconds
from nefstudy.ledger import Coverage, TrialEnd

FIT_METRIC = "field_steps"  # above zero for a trial that fitted a neural dataset
FIT_SECONDS = "fit_seconds"  # duration of the fit
WINDOW = 200  # trials for the pace: 7 % counting error, and recent enough to follow changes of the cluster
MIN_ELAPSED_S = 1e-3  # lower bound of elapsed times, to avoid division by zero


class Pace(BaseModel):
    """Rates of trials and fits and the estimated time left; unknown values are None.

    `eta_low_s` and `eta_high_s` bound the estimate by twice the counting error of the trials that it uses; they are
    None if it uses scaled times of other cells.
    """

    per_minute: float | None = None
    fits_per_minute: float | None = None
    eta_s: float | None = None
    eta_low_s: float | None = None
    eta_high_s: float | None = None


def pace(
    ends: Sequence[TrialEnd],
    *,
    since: float | None,
    remaining: RemainingWork,
    seconds: Mapping[CellKey, TrialSeconds],
    now: float,
    phase: str | None = None,
) -> Pace:
    """Return the rate at which trials have ended since the driver started, and the estimated time left.

    The estimate compares the remaining work with the work done. Both weight a trial by the mean seconds of its cell's
    trials, so a window full of long fits also predicts the pace of the short trials that follow them.

    Args:
        ends: ends of the latest trials of all phases, newest first; those before `since` are ignored.
        since: when the driver acquired the study, UTC seconds; if None, no driver runs and nothing is known.
        remaining: work of the phase, or of the study.
        seconds: mean seconds of the trials of each cell.
        phase: the rates count only trials of this phase, from the start of its first trial; None counts all trials.
    """
    if since is None:
        return Pace()
    counted = [end for end in ends if end.at >= since]
    # A full window starts when its oldest trial ended, so that trial is not counted.
    full = len(counted) >= WINDOW
    start = counted[-1].at if full else since
    counted = counted[:-1] if full else counted
    rates = _rates(counted, phase=phase, start=start, now=now)
    return Pace(**rates, **_time_left(counted, remaining, seconds=seconds, elapsed=max(now - start, MIN_ELAPSED_S)))


def _rates(ends: Sequence[TrialEnd], *, phase: str | None, start: float, now: float) -> dict[str, float]:
    """Return trials and fits per minute; the time of a phase is counted from the start of its first trial."""
    own = [end for end in ends if phase in (None, end.phase)]
    if not own:
        return {}
    first = start if phase is None else min(end.at if end.started_at is None else end.started_at for end in own)
    minutes = max(now - max(start, first), MIN_ELAPSED_S) / 60
    return {"per_minute": len(own) / minutes, "fits_per_minute": sum(map(is_fit, own)) / minutes}


def _time_left(
    ends: Sequence[TrialEnd], remaining: RemainingWork, *, seconds: Mapping[CellKey, TrialSeconds], elapsed: float
) -> dict[str, float]:
    if not remaining.trials:
        return dict.fromkeys(("eta_s", "eta_low_s", "eta_high_s"), 0.0)
    work = [_work(end, seconds.get((end.phase, end.cell))) for end in ends]
    done = sum(work)
    if not done or remaining.seconds is None:
        return {}
    eta = elapsed * remaining.seconds / done
    error = 2 * math.hypot(*work) / done
    if remaining.is_scaled:
        return {"eta_s": eta}
    low = {"eta_s": eta, "eta_low_s": eta / (1 + error)}
    return low if error >= 1 else low | {"eta_high_s": eta / (1 - error)}


def _work(end: TrialEnd, seconds: TrialSeconds | None) -> float:
    """Return a trial's work in seconds: a mean over its cell's trials, or its own duration if the mean is unknown."""
    if seconds is None or seconds.rest is None:
        return 0.0 if end.started_at is None else max(0.0, end.at - end.started_at)
    return seconds.rest + (seconds.fit or 0.0) * is_fit(end)


def is_fit(end: TrialEnd) -> bool:
    """Return whether the trial fitted a neural dataset."""
    return end.measure is not None and end.measure > 0


def planned_fits(own: Declared) -> int | None:
    """Return how many neural datasets a grid fits, or None if the cell is not a grid.

    Rungs and classifiers share neural datasets.
    """
    if not own.is_grid:
        return None
    shared = (d for name, d in own.space.items() if name == "steps" or name.split(".")[0] == "classifier")
    trials = math.prod(len(dimension["values"]) for dimension in shared if dimension.get("kind") == "Categorical")
    return math.ceil(own.planned / max(1, trials))


def remaining_fits(own: Declared, remaining: int, coverage: Coverage) -> int:
    """Estimate how many of a cell's remaining trials will need a fit.

    For a grid, these are its neural datasets that no ended trial has used; for a search, the share of ended trials that
    fitted one is extrapolated.
    """
    if not remaining:
        return 0
    if not coverage.ended:
        return min(remaining, planned_fits(own) or remaining)
    if not coverage.datasets:
        return 0  # a task without neural datasets
    planned = planned_fits(own)
    if planned is not None:
        return min(remaining, max(0, planned - coverage.datasets))
    return min(remaining, math.ceil(remaining * min(1.0, coverage.measured / coverage.ended)))
