"""Answers about a study, each the same as counting its rows by hand."""

import pytest

from nefstudy.ledger import NeuralDatasetRow, TrialState

from .records import as_cells, as_record

SIREN, MFN = ("phase1", "digits8/siren"), ("phase1", "digits8/mfn")


@pytest.fixture
def filled(ledger, trial, finish):
    """Ten finished trials in two cells, two failed, one pruned, one running."""
    ledger.studies.put("digits", {}, cells=as_cells({SIREN: 9, MFN: 5}))
    for seed in range(10):
        finish(
            ledger, seed, field="mfn" if seed % 2 else "siren", metrics={"val_accuracy": seed / 10, "field_steps": 75.0}
        )
    for seed in (10, 11):
        made = trial(seed)
        token = ledger.trials.request("digits", "phase1", record=as_record(made))
        ledger.trials.fail(
            "digits", "phase1", key=made.key, token=token, cause="oom" if seed == 10 else "bug", error=""
        )
    pruned, running = trial(12), trial(13)
    token = ledger.trials.request("digits", "phase1", record=as_record(pruned))
    ledger.trials.prune("digits", "phase1", key=pruned.key, token=token, metrics={"val_accuracy": 0.99})
    token = ledger.trials.request("digits", "phase1", record=as_record(running))
    ledger.trials.start("digits", "phase1", key=running.key, token=token)
    return ledger


def test_counts_are_the_rows(filled):
    """Counts by phase, cell and state, and causes, are those of the rows."""
    rows = filled.trials.page("digits", limit=None).rows
    counts = filled.trials.counts("digits")
    for state in TrialState:
        for phase, cell in (SIREN, MFN):
            here = [row for row in rows if (row.phase, row.cell, row.state) == (phase, cell, state)]
            assert counts.get((phase, cell, state), 0) == len(here)
    assert sum(counts.values()) == len(rows) == 14
    assert filled.trials.causes("digits") == {(*SIREN, "oom"): 1, (*SIREN, "bug"): 1}
    assert filled.trials.counts("other") == {}


def test_best_is_by_score_of_complete_trials(filled):
    """The best of each cell, in the order of the plan, has its highest score; pruned trials do not count."""
    assert [(row.cell, row.score) for row in filled.trials.best("digits")] == [
        ("digits8/siren", 0.8),
        ("digits8/mfn", 0.9),
    ]
    assert [row.score for row in filled.trials.best("digits", cell="digits8/mfn", limit=3)] == [0.9, 0.7, 0.5]
    assert filled.trials.best("digits", phase="phase2") == []


def test_of_equals_the_smaller_key_is_best(ledger, finish):
    """Which of equal trials is best does not hang on the order in which they were asked for."""
    keys = [finish(ledger, seed, metrics={"val_accuracy": 0.5}).key for seed in range(6)]
    assert keys != sorted(keys)
    assert [row.key for row in ledger.trials.best("digits", limit=3)] == sorted(keys)[:3]


def test_finished_trials_replay_in_order(filled):
    """Replay gets results, pruned ones too, in the order in which they ended."""
    rows = filled.trials.finished("digits", phase="phase1", cell="digits8/siren")
    assert [row.seed for row in rows] == [0, 2, 4, 6, 8, 12]
    assert rows == sorted(rows, key=lambda row: row.ended_at)


def test_states_of_all_trials(filled):
    """The driver learns of every key where it stands."""
    states = filled.trials.states("digits", phase="phase1")
    assert len(states) == 14
    for row in filled.trials.page("digits", limit=None).rows:
        assert states[row.phase, row.key] == (row.state, row.attempt)


def test_ends_count_only_trials_that_ran(filled, trial):
    """The pace is taken from trials that really ran, whatever came of them, newest first."""
    filled.trials.reuse("digits", "phase2", record=as_record(trial(0)))
    ends = filled.trials.ends("digits")
    assert len(ends) == 13
    assert [end.at for end in ends] == sorted((end.at for end in ends), reverse=True)
    assert {end.measure for end in ends} == {None}
    measured = filled.trials.ends("digits", measure="field_steps")
    assert sorted(end.measure or 0.0 for end in measured) == [0.0] * 3 + [75.0] * 10
    assert filled.trials.ends("digits", phase="phase2") == []
    assert filled.trials.ends("digits", limit=3) == ends[:3]


def test_coverage_is_counted_by_hand(filled, trial):
    """Of each cell: complete and pruned trials that ran, those with the metric above zero, and distinct datasets."""
    filled.trials.reuse("digits", "phase2", record=as_record(trial(0)))
    found = filled.trials.coverage("digits", measure="field_steps")
    ended = (TrialState.COMPLETE, TrialState.PRUNED)
    for (phase, cell), coverage in found.items():
        page = filled.trials.page("digits", phase=phase, cell=cell, limit=None)
        rows = [row for row in page.rows if row.state in ended]
        ran = [row for row in rows if not row.reused]
        assert (coverage.ended, coverage.datasets) == (len(ran), len({row.dataset for row in rows}))
        assert coverage.measured == sum(row.metrics.get("field_steps", 0) > 0 for row in ran)
    assert found["phase2", SIREN[1]].ended == 0
    assert filled.trials.coverage("digits", measure="unheard_of")[SIREN].measured == 0


def test_columns_line_up(filled):
    """Columns of row fields, metrics and parameters have one place a trial, None where it has nothing."""
    rows = filled.trials.page("digits", limit=None).rows
    names = ["seed", "cell", "val_accuracy", "field_steps", "lr", "field", "unheard_of"]
    found = filled.trials.columns("digits", names, state=None)
    assert found["seed"] == [row.seed for row in rows]
    assert found["cell"] == [row.cell for row in rows]
    assert found["val_accuracy"] == [row.score for row in rows]
    assert found["field_steps"] == [row.metrics.get("field_steps") for row in rows]
    assert found["lr"] == [1e-3] * 14
    assert found["field"] == [row.parameters["field"] for row in rows]
    assert found["unheard_of"] == [None] * 14
    assert len(filled.trials.columns("digits", ["seed"])["seed"]) == 10


def test_totals_add_metrics_up(filled):
    """Totals are sums over complete trials of each cell."""
    assert filled.trials.totals("digits", ["field_steps"]) == {
        (*SIREN, "field_steps"): 375.0,
        (*MFN, "field_steps"): 375.0,
    }


def test_trial_is_found_by_key_alone_or_in_a_study(filled, trial):
    """A key without a study finds the trial anywhere; an unknown one is None."""
    key = trial(0).key
    assert filled.trials.get(key).key == key
    assert filled.trials.get(key, study="digits", phase="phase1") is not None
    assert filled.trials.get(key, study="other") is None
    assert filled.trials.get(key, phase="phase2") is None
    assert filled.trials.get("0" * 20) is None


def test_study_continues_with_what_is_added(ledger):
    """Putting a study again merges plans by their top-level keys and sets planned counts cell by cell."""
    ledger.studies.put("digits", {"phase1": {"trials": 4}}, cells=as_cells({SIREN: 4}))
    row = ledger.studies.put(
        "digits", {"phase2": {"trials": 2}}, cells=as_cells({SIREN: 6, ("phase2", "digits8/mfn"): 2})
    )
    assert row.plan == {"phase1": {"trials": 4}, "phase2": {"trials": 2}}
    assert ledger.studies.planned("digits") == {SIREN: 6, ("phase2", "digits8/mfn"): 2}
    assert ledger.studies.get("digits") == row
    assert [study.study for study in ledger.studies.all()] == ["digits"]
    assert ledger.studies.get("other") is None


def test_neural_dataset_reads_back_as_written(ledger):
    """A neural dataset is known by its digest, and its latest state replaces the earlier one."""
    row = NeuralDatasetRow("d1", "neural_datasets/d1", (5, 75), 1000, {"engine": "eager"}, created_at=1.0)
    ledger.datasets.put(row)
    assert ledger.datasets.get("d1") == row
    dropped = NeuralDatasetRow("d1", "neural_datasets/d1", (5, 75), 0, {"engine": "eager"}, "dropped", created_at=1.0)
    ledger.datasets.put(dropped)
    assert ledger.datasets.all() == [dropped]
    assert ledger.datasets.get("d2") is None
