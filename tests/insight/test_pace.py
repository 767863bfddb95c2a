"""Pace and time left agree with a clock, and count fits apart from trials that cost none."""

import math

import pytest

from nefstudy.insight.declared import Declared
from nefstudy.insight.pace import WINDOW, pace, planned_fits, remaining_fits
from nefstudy.ledger import Coverage, End

from .conftest import SPACE


def ends(*times: float, took: float | None = None, fitted: bool = True) -> list[End]:
    """Ends at these times, newest first."""
    return [End(at, None if took is None else at - took, 100.0 if fitted else 0.0) for at in times]


def steady(n: int, *, over: float, fitted: bool = True) -> list[End]:
    return ends(*(1000.0 + over * i / n for i in range(n, 0, -1)), fitted=fitted)


def test_pace_is_trials_over_time() -> None:
    """Ten ends in 100 seconds are 6 a minute, and 20 more trials take 200 seconds."""
    found = pace(steady(10, over=100), since=1000, remaining=20, remaining_fits=20, now=1100)
    assert (found.per_minute, found.fits_per_minute) == (pytest.approx(6), pytest.approx(6))
    assert found.eta_s == pytest.approx(200)
    assert found.eta_low_s is not None
    assert found.eta_high_s is not None
    assert found.eta_low_s < found.eta_s < found.eta_high_s


def test_a_fit_counts_for_the_time_that_it_takes() -> None:
    """After fits of 90 s and rungs of 10 s, ten rungs left take a tenth of the work of ten fits and no fit is left."""
    fits = ends(1090, 1190, took=90)
    rungs = ends(*(1090 + 10 * i for i in range(1, 11)), took=10, fitted=False)
    latest = sorted([*fits, *rungs], key=lambda end: -end.at)
    only_rungs = pace(latest, since=1000, remaining=10, remaining_fits=0, now=1200)
    only_fits = pace(latest, since=1000, remaining=10, remaining_fits=10, now=1200)
    work = 2 * 9 + 10  # in rungs, done in 200 s
    assert only_rungs.eta_s == pytest.approx(200 * 10 / work)
    assert only_fits.eta_s == pytest.approx(200 * 90 / work)
    assert (only_fits.per_minute, only_fits.fits_per_minute) == (pytest.approx(3.6), pytest.approx(0.6))


def test_without_a_fit_seen_the_time_of_fits_has_no_upper_bound() -> None:
    """Rungs alone say nothing about how long a fit takes."""
    rungs = steady(100, over=100, fitted=False)
    assert pace(rungs, since=1000, remaining=10, remaining_fits=1, now=1100).eta_high_s is None
    assert pace(rungs, since=1000, remaining=10, remaining_fits=0, now=1100).eta_high_s is not None


def test_pace_forgets_what_ended_before_the_driver() -> None:
    """Ends before the driver took the study change nothing; without a driver nothing is known."""
    mine = ends(1050.0, 1040.0)
    left = {"remaining": 3, "remaining_fits": 3, "now": 1100.0}
    assert pace([*mine, *ends(10.0, 5.0)], since=1000, **left) == pace(mine, since=1000, **left)  # type: ignore[arg-type]
    assert pace(mine, since=None, **left).eta_s is None  # type: ignore[arg-type]


def test_a_full_window_measures_its_own_length() -> None:
    """With a full window the clock starts at its oldest end, so a slow start does not linger."""
    latest = ends(*(5000.0 - i for i in range(WINDOW)))
    assert pace(latest, since=0, remaining=60, remaining_fits=60, now=5000).per_minute == pytest.approx(60)


def test_the_band_narrows_as_trials_end() -> None:
    """Four times the trials at the same pace halve the band's relative width below the estimate."""

    def width(n: int) -> float:
        found = pace(steady(n, over=100), since=1000, remaining=50, remaining_fits=50, now=1100)
        assert found.eta_s is not None
        assert found.eta_low_s is not None
        return found.eta_s / found.eta_low_s - 1

    assert width(64) == pytest.approx(width(16) / 2)


@pytest.mark.parametrize("latest", [[], ends(1001.0)])
def test_pace_of_little_is_finite(latest: list[End]) -> None:
    """No division by zero and no infinite numbers at the start of a study."""
    found = pace(latest, since=1000, remaining=5, remaining_fits=5, now=1001)
    assert all(value is None or math.isfinite(value) for value in found.model_dump().values())


def grid(**changes: object) -> Declared:
    return Declared("phase2", "a/b", space=SPACE, is_grid=True, planned=48, **changes)  # type: ignore[arg-type]


def test_a_grids_ladders_are_fitted_once() -> None:
    """48 points with 6 rungs are 8 neural datasets; classifiers share them; a search has no such number."""
    assert planned_fits(grid()) == 8
    choice = {"kind": "Choice", "values": ["mlp", "gnn"]}
    both = Declared("p", "c", space={**SPACE, "classifier": choice}, is_grid=True, planned=96)
    assert planned_fits(both) == 8
    assert planned_fits(Declared("p", "c", space=SPACE, planned=48)) is None


def test_remaining_fits_of_a_grid_are_the_ladders_without_a_trial() -> None:
    """Neural datasets that ended trials name are there; no more fits remain than trials."""
    assert remaining_fits(grid(), 48, Coverage(0, 0, 0)) == 8
    assert remaining_fits(grid(), 40, Coverage(8, 2, 3)) == 5
    assert remaining_fits(grid(), 3, Coverage(45, 4, 4)) == 3
    assert remaining_fits(grid(), 5, Coverage(43, 8, 8)) == 0
    assert remaining_fits(grid(), 0, Coverage(48, 8, 8)) == 0


def test_remaining_fits_of_a_search_follow_the_share_so_far() -> None:
    """Half of the ended trials fitted: half of the remaining ones will; before any ended, all may; some tasks never."""
    search = Declared("p", "c", space=SPACE, planned=100)
    assert remaining_fits(search, 100, Coverage(0, 0, 0)) == 100
    assert remaining_fits(search, 60, Coverage(40, 20, 20)) == 30
    assert remaining_fits(search, 60, Coverage(40, 0, 0)) == 0
