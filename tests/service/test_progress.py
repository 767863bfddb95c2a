"""Tests of a study's progress and pace, which `nefstudy status` and the service report.

The progress agrees with the ledger's rows, and the pace agrees with the clock.
"""

from dataclasses import replace

import pytest

from nefstudy.errors import BadConfig
from nefstudy.insight.progress import progress
from nefstudy.insight.status import status
from nefstudy.ledger import Ledger, Owner, TrialState

from ..ledger.records import as_cells, as_record
from ..present import present
from .small_study import CELLS, STUDY, fill_study, trial_config


def test_counts_equal_the_trials_of_each_state(filled):
    """A cell's number of trials in each state equals the number that the ledger lists."""
    ledger = filled[0]
    result = progress(ledger, STUDY)
    for phase in result.phases:
        for cell in phase.cells:
            for state in TrialState:
                rows = ledger.trials.page(STUDY, phase=phase.phase, cell=cell.cell, state=state, limit=None).rows
                assert getattr(cell, state.lower()) == len(rows)
    assert (result.complete, result.failed, result.running, result.requested) == (16, 1, 1, 1)


def test_phases_and_study_are_sums_of_their_cells(filled):
    """Each count of a phase is the sum over its cells.

    Each count of the study is the sum over its phases.
    """
    result = progress(filled[0], STUDY)
    for name in ("planned", "complete", "running", "failed", "interrupted", "pruned", "requested"):
        assert all(getattr(p, name) == sum(getattr(c, name) for c in p.cells) for p in result.phases)
        assert getattr(result, name) == sum(getattr(p, name) for p in result.phases)


def test_best_of_a_cell_has_the_best_validation_accuracy(filled):
    """A cell's best trial has the highest validation accuracy among its complete trials."""
    ledger = filled[0]
    best_by_cell = {best.cell: best for best in progress(ledger, STUDY).best}
    assert set(best_by_cell) == set(CELLS)
    for cell, best in best_by_cell.items():
        rows = ledger.trials.page(STUDY, cell=cell, state=TrialState.COMPLETE, limit=None).rows
        assert best.val_accuracy == max(row.score for row in rows)


def test_a_study_without_trials_has_progress(ledger):
    """A study with an empty plan has counts of zero and no estimate, rather than an error."""
    ledger.studies.put("empty", {}, cells={})
    result = progress(ledger, "empty")
    assert (result.planned, result.phases, result.best, result.eta_s) == (0, [], [], None)


def test_an_unknown_study_is_named_in_the_error(ledger):
    """The error for an unknown study names that study and the existing ones."""
    ledger.studies.put("one", {}, cells={})
    with pytest.raises(BadConfig, match=r"'two'.*one"):
        progress(ledger, "two")


def test_status_has_the_published_keys(filled):
    """`nefstudy status --json` has the keys that scripts depend on."""
    (study,) = status(filled[0]).model_dump(mode="json")["studies"]
    assert {"study", "state", "phases", "best"} <= set(study)
    assert {"phase", "planned", "complete", "running", "failed", "interrupted", "pruned"} <= set(study["phases"][0])
    assert {"cell", "key", "val_accuracy", "test_accuracy"} <= set(study["best"][0])


def test_an_estimate_requires_a_driver(ledger: Ledger):
    """The remaining time is estimated only while a driver holds the study."""
    ledger.studies.put(STUDY, {}, cells={})
    lease = ledger.leases.acquire(STUDY, Owner.current())
    fill_study(ledger)
    assert present(progress(ledger, STUDY).eta_s) > 0
    ledger.leases.release(lease)
    assert progress(ledger, STUDY).eta_s is None
    assert not progress(ledger, STUDY).alive


def test_remaining_trials_and_fits_are_counted(filled):
    """Remaining trials are planned trials that have not ended.

    A trial with field-steps counts as a fit.
    """
    ledger = filled[0]
    result = progress(ledger, STUDY)
    for phase in result.phases:
        for cell in phase.cells:
            assert cell.remaining == max(0, cell.planned - cell.complete - cell.failed - cell.pruned)
            assert 0 <= cell.remaining_fits <= cell.remaining
            assert cell.fits == cell.complete  # every trial of this study fitted its own fields


def test_a_rung_of_a_fitted_ladder_is_not_a_fit(ledger):
    """If two trials use the same neural dataset, only one of them counts as a fit.

    Each ladder that is not yet fitted needs one more fit.
    """
    space = {"steps": {"kind": "Categorical", "values": [5, 25]}, "hidden": {"kind": "Categorical", "values": [8, 16]}}
    plan = {"cells": [{"phase": "phase2", "cell": CELLS[0], "space": space, "covers_space": True, "planned": 4}]}
    ledger.studies.put(STUDY, plan, cells=as_cells({("phase2", CELLS[0]): 4}))
    assert progress(ledger, STUDY).remaining_fits == 2
    for steps, done in ((25, 1250.0), (5, 0.0)):
        trial = trial_config(CELLS[0], steps=steps)
        token = ledger.trials.request(STUDY, "phase2", record=as_record(trial))
        ledger.trials.complete(STUDY, "phase2", key=trial.key, token=token, metrics={"field_steps": done})
    result = progress(ledger, STUDY)
    assert (result.complete, result.fits, result.remaining, result.remaining_fits) == (2, 1, 2, 1)


@pytest.mark.parametrize("own", [{"hidden": "wide"}, {"hidden": 0.5}, {"steps": 0.5}, {"init": 2}])
def test_a_custom_task_may_give_a_shown_parameter_another_type(own, ledger):
    """`hidden`, `steps` and `init` may have other types in a custom task.

    Progress and status show their values unchanged.
    """
    ledger.studies.put(STUDY, {}, cells=as_cells({("phase2", CELLS[0]): 1}))
    record = replace(as_record(trial_config(CELLS[0])), parameters=own)
    token = ledger.trials.request(STUDY, "phase2", record=record)
    ledger.trials.complete(STUDY, "phase2", key=record.key, token=token, metrics={"val_accuracy": 0.5})
    (best,) = progress(ledger, STUDY).best
    assert {name: getattr(best, name) for name in own} == own
    assert status(ledger).studies[0].best == [best]
