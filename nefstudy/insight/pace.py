"""How much is left of a study and how long it takes: trials, and the fits that some of them cost.

A trial costs a fit unless its neural dataset is there or another rung of its ladder made it; a trial that is answered
from the ledger costs nothing. Only a trial that fitted reports field-steps above zero.
"""

import math
from collections.abc import Sequence
from statistics import fmean

from pydantic import BaseModel

from nefstudy.insight.declared import Declared
from nefstudy.ledger import Coverage, End

FIT_METRIC = "field_steps"  # above zero for the trial that fitted a neural dataset
WINDOW = 200  # trials the pace is taken over: 7 % counting error, and recent enough to follow a changed cluster


class Pace(BaseModel):
    """How fast trials and fits end, and how long the rest takes at this pace; None while that cannot be known.

    `eta_low_s` and `eta_high_s` bound the estimate by twice the counting error of the trials it rests on.
    """

    per_minute: float | None = None
    fits_per_minute: float | None = None
    eta_s: float | None = None
    eta_low_s: float | None = None
    eta_high_s: float | None = None


def pace(ends: Sequence[End], *, since: float | None, remaining: int, remaining_fits: int, now: float) -> Pace:
    """Return the rate at which trials end since a driver started, and the time that the remaining ones take at it.

    A remaining fit counts as many trials without a fit as it took the time of: a window full of fits says little of
    the rungs that follow them, whatever its rate.

    Args:
        ends: of the latest trials, newest first; those before `since` do not count.
        since: when the driver took the study; None if none runs, so that nothing is known.
    """
    if since is None:
        return Pace()
    counted = [end for end in ends if end.at >= since]
    if not counted:
        return Pace(eta_s=0.0, eta_low_s=0.0, eta_high_s=0.0) if remaining == 0 else Pace()
    # A full window starts with a trial's end, which is then the clock's start and not part of the count.
    full = len(counted) >= WINDOW
    seconds = max(now - (counted[-1].at if full else since), 1e-3)
    counted = counted[:-1] if full else counted
    fits = sum(is_fit(end) for end in counted)
    weight = _fit_weight(counted)
    done = weight * fits + len(counted) - fits
    left = weight * remaining_fits + remaining - remaining_fits
    error = 2 * math.sqrt(weight**2 * fits + len(counted) - fits) / done
    unseen = remaining_fits > 0 and not fits  # how long a fit takes is not known yet
    return Pace(
        per_minute=60 * len(counted) / seconds,
        fits_per_minute=60 * fits / seconds,
        eta_s=seconds * left / done,
        eta_low_s=seconds * left / done / (1 + error),
        eta_high_s=0.0 if not left else None if error >= 1 or unseen else seconds * left / done / (1 - error),
    )


def is_fit(end: End) -> bool:
    """Return whether the trial fitted a neural dataset."""
    return end.measure is not None and end.measure > 0


def _fit_weight(ends: Sequence[End]) -> float:
    """Return how many trials without a fit take the time of one with a fit; 1 until both have been seen."""
    durations: dict[bool, list[float]] = {True: [], False: []}
    for end in ends:
        if end.started_at is not None:
            durations[is_fit(end)].append(end.at - end.started_at)
    if not all(durations.values()):
        return 1.0
    return max(1.0, fmean(durations[True]) / max(fmean(durations[False]), 1e-3))


def planned_fits(own: Declared) -> int | None:
    """Return how many neural datasets a grid has, one for all rungs and classifiers; None for other samplers."""
    if not own.is_grid:
        return None
    shared = (d for name, d in own.space.items() if name == "steps" or name.split(".")[0] == "classifier")
    trials = math.prod(len(dimension["values"]) for dimension in shared if dimension.get("kind") == "Choice")
    return math.ceil(own.planned / max(1, trials))


def remaining_fits(own: Declared, remaining: int, coverage: Coverage) -> int:
    """Return how many of the remaining trials of a cell will cost a fit, as far as its ended trials show.

    Of a grid, the neural datasets that no ended trial has; of a search, the share of ended trials that fitted.
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
