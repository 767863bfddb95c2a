"""Progress agrees with the ledger's rows, and its pace with a clock."""

import math

import pytest

from nefstudy.errors import BadConfig
from nefstudy.ledger import Ledger, Owner, TrialState
from nefstudy.service.progress import WINDOW, pace, progress, status

from .conftest import CELLS, STUDY, fill_study


def test_counts_equal_the_trials_of_each_state(filled):
    """Each number of progress is the number of trials a listing with the same conditions returns."""
    ledger = filled[0]
    found = progress(ledger, STUDY)
    for phase in found.phases:
        for cell in phase.cells:
            for state in TrialState:
                rows = ledger.trials.page(STUDY, phase=phase.phase, cell=cell.cell, state=state, limit=None).rows
                assert getattr(cell, state.lower()) == len(rows)
    assert (found.complete, found.failed, found.running, found.requested) == (16, 1, 1, 1)


def test_phases_and_study_are_sums_of_their_cells(filled):
    """Every count of a phase is the sum over its cells, and the study's over its phases."""
    found = progress(filled[0], STUDY)
    for name in ("planned", "complete", "running", "failed", "interrupted", "pruned", "requested"):
        assert all(getattr(p, name) == sum(getattr(c, name) for c in p.cells) for p in found.phases)
        assert getattr(found, name) == sum(getattr(p, name) for p in found.phases)


def test_best_of_a_cell_is_the_one_validation_picks(filled):
    """The best has the highest validation accuracy among the complete trials of its cell."""
    ledger = filled[0]
    found = {best.cell: best for best in progress(ledger, STUDY).best}
    assert set(found) == set(CELLS)
    for cell, best in found.items():
        rows = ledger.trials.page(STUDY, cell=cell, state=TrialState.COMPLETE, limit=None).rows
        assert best.val_accuracy == max(row.val_accuracy for row in rows)


def test_a_study_without_trials_has_progress(ledger):
    """Nothing planned, nothing run: zeros and no estimate, and not an error."""
    ledger.studies.put("empty", {}, cells={})
    found = progress(ledger, "empty")
    assert (found.planned, found.phases, found.best, found.eta_s) == (0, [], [], None)


def test_an_unknown_study_is_refused_by_name(ledger):
    """The error names what was asked and what there is."""
    ledger.studies.put("one", {}, cells={})
    with pytest.raises(BadConfig, match=r"'two'.*one"):
        progress(ledger, "two")


def test_status_has_the_published_keys(filled):
    """`nefstudy status --json` keeps the keys that people script against."""
    (study,) = status(filled[0]).model_dump(mode="json")["studies"]
    assert {"study", "state", "phases", "best"} <= set(study)
    assert {"phase", "planned", "complete", "running", "failed", "interrupted", "pruned"} <= set(study["phases"][0])
    assert {"cell", "key", "val_accuracy", "test_accuracy"} <= set(study["best"][0])


def test_no_driver_no_estimate_but_a_driver_gives_one(ledger: Ledger):
    """The pace needs somebody at work: the same rows give none before and one after a driver takes the study."""
    lease = ledger.studies.put(STUDY, {}, cells={}) and ledger.leases.acquire(STUDY, Owner.here())
    fill_study(ledger)
    assert progress(ledger, STUDY).eta_s > 0
    ledger.leases.release(lease)
    assert progress(ledger, STUDY).eta_s is None
    assert not progress(ledger, STUDY).alive


def test_pace_is_trials_over_time():
    """Ten ends in 100 seconds are 6 a minute, and 20 more trials take 200 seconds."""
    found = pace([1000.0 + 10 * i for i in range(10, 0, -1)], since=1000, remaining=20, now=1100)
    assert found.per_minute == pytest.approx(6)
    assert found.eta_s == pytest.approx(200)
    assert found.eta_low_s < found.eta_s < found.eta_high_s


def test_pace_forgets_what_ended_before_the_driver():
    """Ends before the driver took the study change nothing."""
    mine = [1050.0, 1040.0]
    assert pace([*mine, 10.0, 5.0], since=1000, remaining=3, now=1100) == pace(mine, since=1000, remaining=3, now=1100)


def test_a_full_window_measures_its_own_length():
    """With a full window the clock starts at its oldest end, so a slow start does not linger."""
    ends = [5000.0 - i for i in range(WINDOW)]
    assert pace(ends, since=0, remaining=60, now=5000).per_minute == pytest.approx(60)


def test_the_band_narrows_as_trials_end():
    """Four times the trials at the same pace halve the band's relative width below the estimate."""

    def width(n: int) -> float:
        found = pace([1000.0 + 100 * i / n for i in range(n, 0, -1)], since=1000, remaining=50, now=1100)
        return found.eta_s / found.eta_low_s - 1

    assert width(64) == pytest.approx(width(16) / 2)


@pytest.mark.parametrize("ends", [[], [1001.0]])
def test_pace_of_little_is_finite(ends):
    """No division by zero and no infinite numbers at the start of a study."""
    found = pace(ends, since=1000, remaining=5, now=1001)
    assert all(value is None or math.isfinite(value) for value in found.model_dump().values())
