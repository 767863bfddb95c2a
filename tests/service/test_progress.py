"""Progress agrees with the ledger's rows, and its pace with a clock."""

import pytest

from nefstudy.errors import BadConfig
from nefstudy.insight.progress import progress
from nefstudy.insight.status import status
from nefstudy.ledger import Ledger, Owner, TrialState

from ..ledger.records import as_cells, as_record
from .conftest import CELLS, STUDY, fill_study, trial_config


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
        assert best.val_accuracy == max(row.score for row in rows)


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


def test_remaining_trials_and_fits_are_counted(filled):
    """Remaining trials are planned ones that have not ended; a trial with field-steps was a fit."""
    ledger = filled[0]
    found = progress(ledger, STUDY)
    for phase in found.phases:
        for cell in phase.cells:
            assert cell.remaining == max(0, cell.planned - cell.complete - cell.failed - cell.pruned)
            assert 0 <= cell.remaining_fits <= cell.remaining
            assert cell.fits == cell.complete  # every trial of this study fitted its own fields


def test_a_rung_of_a_fitted_ladder_is_not_a_fit(ledger):
    """Of two trials on one neural dataset one fitted; the remaining ones of a grid cost a fit for each new ladder."""
    space = {"steps": {"kind": "Choice", "values": [5, 25]}, "hidden": {"kind": "Choice", "values": [8, 16]}}
    plan = {"cells": [{"phase": "phase2", "cell": CELLS[0], "space": space, "sampler": {"name": "Grid"}, "planned": 4}]}
    ledger.studies.put(STUDY, plan, cells=as_cells({("phase2", CELLS[0]): 4}))
    assert progress(ledger, STUDY).remaining_fits == 2
    for steps, done in ((25, 1250.0), (5, 0.0)):
        trial = trial_config(CELLS[0], steps=steps)
        token = ledger.trials.request(STUDY, "phase2", record=as_record(trial))
        ledger.trials.complete(STUDY, "phase2", key=trial.key, token=token, metrics={"field_steps": done})
    found = progress(ledger, STUDY)
    assert (found.complete, found.fits, found.remaining, found.remaining_fits) == (2, 1, 2, 1)
