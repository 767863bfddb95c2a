"""Tests of the pace and the remaining time, in which trials with and without a fit have different weights."""

import math
from typing import Any

import pytest

from nefstudy.insight.declared import Declared
from nefstudy.insight.pace import WINDOW, Pace, pace, planned_fits, remaining_fits
from nefstudy.insight.work import RemainingWork, TrialSeconds
from nefstudy.ledger import Coverage, TrialEnd

from .synthetic_study import SPACE

CELL = ("phase2", "a/b")


def ends(*times: float, took: float | None = None, fitted: bool = True) -> list[TrialEnd]:
    """Return the ends of trials at the given times, newest first."""
    return [TrialEnd(at, None if took is None else at - took, 100.0 if fitted else 0.0, *CELL) for at in times]


def steady(n: int, *, over: float, fitted: bool = True) -> list[TrialEnd]:
    return ends(*(1000.0 + over * i / n for i in range(n, 0, -1)), fitted=fitted)


def paced(
    latest: list[TrialEnd],
    *,
    since: float | None,
    remaining: int,
    remaining_fits: int,
    now: float,
    rest: float = 1.0,
    fit: float | None = 0.0,
) -> Pace:
    """Return the pace of a cell whose trials take `rest` seconds each, plus `fit` seconds if they include a fit."""
    is_known = fit is not None or not remaining_fits
    left = RemainingWork(remaining, remaining * rest + remaining_fits * (fit or 0.0) if is_known else None)
    return pace(latest, since=since, remaining=left, seconds={CELL: TrialSeconds(rest, fit)}, now=now)


def test_pace_is_trials_over_time() -> None:
    """Ten trials in 100 s are a pace of 6 trials per minute, so 20 more trials take 200 s."""
    found = paced(steady(10, over=100), since=1000, remaining=20, remaining_fits=20, now=1100)
    assert (found.per_minute, found.fits_per_minute) == pytest.approx((6, 6))
    assert found.eta_s == pytest.approx(200)
    assert found.eta_s is not None
    assert found.eta_low_s is not None
    assert found.eta_high_s is not None
    assert found.eta_low_s < found.eta_s < found.eta_high_s


def test_a_fit_counts_for_the_time_that_it_takes() -> None:
    """If trials with a fit take nine times as long as others, their estimated time is nine times as long."""
    fits = ends(1090, 1190, took=90)
    rungs = ends(*(1090 + 10 * i for i in range(1, 11)), took=10, fitted=False)
    latest = sorted([*fits, *rungs], key=lambda end: -end.at)
    only_rungs = paced(latest, since=1000, remaining=10, remaining_fits=0, now=1200, rest=10, fit=80)
    only_fits = paced(latest, since=1000, remaining=10, remaining_fits=10, now=1200, rest=10, fit=80)
    work = 2 * 9 + 10  # in rungs, done in 200 s
    assert only_rungs.eta_s == pytest.approx(200 * 10 / work)
    assert only_fits.eta_s == pytest.approx(200 * 90 / work)
    assert (only_fits.per_minute, only_fits.fits_per_minute) == pytest.approx((3.6, 0.6))


def test_time_of_fits_is_unknown_before_the_first_fit() -> None:
    """The remaining time is unknown before the first fit, unless no fits remain."""
    rungs = steady(100, over=100, fitted=False)
    unknown = paced(rungs, since=1000, remaining=10, remaining_fits=1, now=1100, fit=None)
    assert (unknown.eta_s, unknown.eta_low_s, unknown.eta_high_s) == (None, None, None)
    assert unknown.per_minute == pytest.approx(60)
    assert paced(rungs, since=1000, remaining=10, remaining_fits=0, now=1100, fit=None).eta_high_s is not None


def test_trials_of_another_phase_show_how_fast_work_is_done() -> None:
    """The rate at which one phase did its work determines the estimated time of the next phase.

    In the example, two trials of 60 s run at a time.
    """
    first = ("phase1", "a/b")
    fits = [TrialEnd(1000.0 + 30 * i, 940.0 + 30 * i, 100.0, *first) for i in range(10, 0, -1)]
    seconds = {first: TrialSeconds(5.0, 55.0), CELL: TrialSeconds(10.0, None)}
    found = pace(fits, since=1000, remaining=RemainingWork(60, 600.0), seconds=seconds, now=1300, phase="phase2")
    assert found.eta_s == pytest.approx(300)
    assert (found.per_minute, found.fits_per_minute) == (None, None)
    scaled = pace(fits, since=1000, remaining=RemainingWork(60, 600.0, is_scaled=True), seconds=seconds, now=1300)
    assert (scaled.eta_s, scaled.eta_low_s, scaled.eta_high_s) == (found.eta_s, None, None)
    assert scaled.per_minute == pytest.approx(2)


def test_pace_ignores_ends_before_the_driver() -> None:
    """Trials that ended before the driver acquired the study do not count toward the pace.

    Without a driver, no time is estimated.
    """
    mine = ends(1050.0, 1040.0)
    left = {"remaining": 3, "remaining_fits": 3, "now": 1100.0}
    assert paced([*mine, *ends(10.0, 5.0)], since=1000, **left) == paced(mine, since=1000, **left)  # type: ignore[arg-type]
    assert paced(mine, since=None, **left).eta_s is None  # type: ignore[arg-type]


def test_a_full_window_measures_its_own_length() -> None:
    """The pace over a full window is measured from its oldest trial end, not from the study's start."""
    latest = ends(*(5000.0 - i for i in range(WINDOW)))
    assert paced(latest, since=0, remaining=60, remaining_fits=60, now=5000).per_minute == pytest.approx(60)


def test_the_band_narrows_as_trials_end() -> None:
    """At the same pace, four times as many trials halve the distance from the estimate to its lower bound."""

    def width(n: int) -> float:
        found = paced(steady(n, over=100), since=1000, remaining=50, remaining_fits=50, now=1100)
        assert found.eta_s is not None
        assert found.eta_low_s is not None
        return found.eta_s / found.eta_low_s - 1

    assert width(64) == pytest.approx(width(16) / 2)


@pytest.mark.parametrize("latest", [[], ends(1001.0)])
def test_pace_of_few_trials_is_finite(latest: list[TrialEnd]) -> None:
    """At the start of a study, every number of the pace is finite or None."""
    found = paced(latest, since=1000, remaining=5, remaining_fits=5, now=1001)
    assert all(value is None or math.isfinite(value) for value in found.model_dump().values())


def grid(**changes: object) -> Declared:
    return Declared("phase2", "a/b", space=SPACE, is_grid=True, planned=48, **changes)  # type: ignore[arg-type]


def test_a_grids_ladders_are_fitted_once() -> None:
    """A grid of 48 points whose ladders have 6 rungs needs 8 fits.

    For a search, the number of fits is unknown (None).
    """
    assert planned_fits(grid()) == 8
    choice: dict[str, Any] = {"kind": "Categorical", "values": ["mlp", "gnn"]}
    both = Declared("p", "c", space={**SPACE, "classifier": choice}, is_grid=True, planned=96)
    assert planned_fits(both) == 8
    assert planned_fits(Declared("p", "c", space=SPACE, planned=48)) is None


def test_remaining_fits_of_a_grid_are_the_ladders_without_a_trial() -> None:
    """A grid has one remaining fit for each neural dataset without an ended trial.

    There are at most as many remaining fits as remaining trials.
    """
    assert remaining_fits(grid(), 48, Coverage(0, 0, 0)) == 8
    assert remaining_fits(grid(), 40, Coverage(8, 2, 3)) == 5
    assert remaining_fits(grid(), 3, Coverage(45, 4, 4)) == 3
    assert remaining_fits(grid(), 5, Coverage(43, 8, 8)) == 0
    assert remaining_fits(grid(), 0, Coverage(48, 8, 8)) == 0


def test_remaining_fits_of_a_search_follow_the_share_so_far() -> None:
    """A search's remaining trials are expected to include fits as often as its ended trials did.

    Before the first trial has ended, each is expected to include a fit.
    """
    search = Declared("p", "c", space=SPACE, planned=100)
    assert remaining_fits(search, 100, Coverage(0, 0, 0)) == 100
    assert remaining_fits(search, 60, Coverage(40, 20, 20)) == 30
    assert remaining_fits(search, 60, Coverage(40, 0, 0)) == 0
