"""Tests of the estimated remaining work, which is computed from the measured times of trials."""

from collections.abc import Mapping
from typing import Any

import pytest

from nefstudy.insight.declared import CellKey, Declarations, declarations
from nefstudy.insight.work import RemainingWork, TrialSeconds, WorkEstimate, total_remaining
from nefstudy.ledger import Coverage

from .synthetic_study import cell_plan

SEARCH, GRID, OTHER = ("phase1", "mnist5k/siren"), ("phase2", "mnist5k/siren"), ("phase2", "mnist5k/mfn")
RANGE = {"steps": {"kind": "Real", "low": 10, "high": 1000, "log": True}}
FITTED = Coverage(10, 10, 10, seconds=300.0, amount=10 * 400 * 50.0, part_seconds=200.0)
"""Ten trials of 10 s each, plus a fit of 20 s with 50 steps of 400 signals."""


def plan(**changes: Mapping[str, Any]) -> Declarations:
    """Return a plan of a search on 400 signals and two grids on 800; `changes` replace values in the cells."""
    signals = {"name": "mnist5k"}
    cells = {
        "search": cell_plan(*SEARCH, sampler={"name": "Tpe"}, covers_space=False, signals=signals, count=400),
        "grid": cell_plan(*GRID, signals=signals, count=800),
        "other": cell_plan(*OTHER, signals=signals, count=800),
    }
    return declarations({"cells": [cell | dict(changes.get(name, {})) for name, cell in cells.items()]})


def seconds(declared: Declarations, covered: Mapping[CellKey, Coverage], at: CellKey = GRID) -> TrialSeconds:
    return WorkEstimate(declared, covered).seconds[at]


def test_a_cells_own_trials_come_first() -> None:
    """If a cell has ended trials, the estimated times per fit and per trial are means over these trials."""
    own = Coverage(4, 1, 1, seconds=40.0, amount=800 * 5000.0, part_seconds=20.0)
    assert seconds(plan(), {SEARCH: FITTED, GRID: own}) == TrialSeconds(rest=5.0, fit=20.0)


def test_without_own_trials_the_same_cell_of_another_phase_is_scaled() -> None:
    """If a cell has no trials, times of the same cell in another phase are scaled to the cell's number of signals.

    The time of a fit is also scaled to the cell's number of steps.
    """
    other = Coverage(1, 1, 1, seconds=1e6, amount=1.0, part_seconds=1e5)
    scaled = seconds(plan(), {SEARCH: FITTED, OTHER: other})
    assert scaled.rest == 20.0
    assert scaled.fit == pytest.approx(20.0 * 200)
    fixed = plan(grid={"space": {}, "fixed": {"steps": 50}})
    assert seconds(fixed, {SEARCH: FITTED}).fit == pytest.approx(40.0)


def test_cells_of_other_labels_are_scaled_where_that_cell_has_no_trials() -> None:
    """If a cell has no trials in any phase, times of other cells with the same task and signals are scaled."""
    assert seconds(plan(), {SEARCH: FITTED}, OTHER) == seconds(plan(), {SEARCH: FITTED}, GRID)
    elsewhere = plan(other={"signals": {"name": "shapes10"}})
    assert seconds(elsewhere, {SEARCH: FITTED}, OTHER) == TrialSeconds()
    another = plan(other={"task": "fitting"})
    assert seconds(another, {SEARCH: FITTED}, OTHER) == TrialSeconds()


@pytest.mark.parametrize(
    "change", [{"grid": {"count": None}}, {"search": {"count": None}}, {"grid": {"count": "many"}}]
)
def test_without_the_number_of_signals_nothing_is_scaled(change: Mapping[str, Any]) -> None:
    """A cell with an unknown number of signals has no estimated times until its first trial has ended."""
    work = WorkEstimate(plan(**change), {SEARCH: FITTED})
    assert work.seconds[GRID] == TrialSeconds()
    assert work.remaining(GRID, trials=36, fits=6) == RemainingWork(36, None)
    assert work.remaining(GRID, trials=0, fits=0) == RemainingWork(0, 0.0)


def test_fits_of_unlisted_step_counts_are_not_scaled() -> None:
    """If a cell's steps are a range, the time of a fit is not estimated until a fit has ended.

    The time that a trial takes without its fit is estimated nevertheless.
    """
    work = WorkEstimate(plan(grid={"space": RANGE}), {SEARCH: FITTED})
    assert work.seconds[GRID] == TrialSeconds(rest=20.0)
    assert work.remaining(GRID, trials=4, fits=0) == RemainingWork(4, 80.0, is_scaled=True)
    assert work.remaining(GRID, trials=4, fits=1) == RemainingWork(4, None)


def test_a_task_without_neural_datasets_has_no_fits_to_scale() -> None:
    """If similar cells use no neural datasets, fits are estimated to take no time."""
    task = Coverage(10, 0, 0, seconds=100.0)
    assert seconds(plan(), {SEARCH: task}) == TrialSeconds(rest=20.0, fit=0.0)


def test_remaining_work_counts_fits_and_the_rest_separately() -> None:
    """The remaining work is the time of all fits plus the time that the trials take without their fits.

    A sum counts as scaled if any part of it is scaled.
    """
    covered = {SEARCH: FITTED}
    work = WorkEstimate(plan(), covered)
    assert work.remaining(SEARCH, trials=10, fits=2) == RemainingWork(10, 10 * 10.0 + 2 * 20.0)
    parts = [work.remaining(SEARCH, trials=10, fits=2), work.remaining(GRID, trials=1, fits=0)]
    assert total_remaining(parts) == RemainingWork(11, 140.0 + 20.0, is_scaled=True)
    assert total_remaining([*parts, RemainingWork(3, None)]) == RemainingWork(14, None, is_scaled=True)
    assert total_remaining([]) == RemainingWork(0, 0.0)


def test_existing_neural_datasets_cost_no_fit() -> None:
    """If most of a grid's trials found existing neural datasets, fewer fits are expected for its remaining trials."""
    found = Coverage(30, 1, 5, seconds=320.0, amount=800 * 5000.0, part_seconds=20.0)
    all_fitted = Coverage(30, 5, 5, seconds=400.0, amount=5 * 800 * 5000.0, part_seconds=100.0)
    few, every = (WorkEstimate(plan(), {GRID: coverage}) for coverage in (found, all_fitted))
    assert few.remaining(GRID, trials=6, fits=3).seconds == pytest.approx(6 * 10 + 3 * 20 * 2 / 6)
    assert every.remaining(GRID, trials=6, fits=3).seconds == pytest.approx(6 * 10 + 3 * 20)
