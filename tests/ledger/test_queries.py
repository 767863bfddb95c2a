"""Tests of queries about a study, compared with answers computed from the study's rows."""

import pytest

from nefstudy.ledger import NeuralDatasetRow, TrialRecord, TrialState

from .records import as_cells, as_record

SIREN, MFN = ("phase1", "digits8/siren"), ("phase1", "digits8/mfn")


@pytest.fixture
def filled(ledger, trial, finish):
    """Return a ledger with ten complete trials in two cells, two failed trials, a pruned one and a running one."""
    ledger.studies.put("digits", {}, cells=as_cells({SIREN: 9, MFN: 5}))
    for seed in range(10):
        metrics = {"val_accuracy": seed / 10, "field_steps": 75.0, "fit_seconds": seed / 4}
        finish(ledger, seed, field="mfn" if seed % 2 else "siren", metrics=metrics)
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
    """The number of trials in each phase, cell and state equals the number of rows. Failures are counted by cause."""
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
    """The best trial of a cell is the complete trial with the highest score.

    Cells are returned in plan order, and pruned trials are ignored.
    """
    assert [(row.cell, row.score) for row in filled.trials.best("digits")] == [
        ("digits8/siren", 0.8),
        ("digits8/mfn", 0.9),
    ]
    assert [row.score for row in filled.trials.best("digits", cell="digits8/mfn", limit=3)] == [0.9, 0.7, 0.5]
    assert filled.trials.best("digits", phase="phase2") == []


def test_smaller_key_wins_ties(ledger, finish):
    """Among trials with equal scores, the one with the smallest key is best."""
    keys = [finish(ledger, seed, metrics={"val_accuracy": 0.5}).key for seed in range(6)]
    assert keys != sorted(keys)
    assert [row.key for row in ledger.trials.best("digits", limit=3)] == sorted(keys)[:3]


def test_completed_trials_are_ordered_by_end(filled):
    """`completed` returns the complete and pruned trials of a cell in the order in which they ended."""
    rows = filled.trials.completed("digits", phase="phase1", cell="digits8/siren")
    assert [row.seed for row in rows] == [0, 2, 4, 6, 8, 12]
    assert rows == sorted(rows, key=lambda row: row.ended_at)


def test_states_of_all_trials(filled):
    """`states` returns the state and the attempt of every trial of a study."""
    states = filled.trials.states("digits", phase="phase1")
    assert len(states) == 14
    for row in filled.trials.page("digits", limit=None).rows:
        assert states[row.phase, row.key] == (row.state, row.attempt)


def test_ends_count_only_trials_that_ran(filled, trial):
    """`ends` lists every trial that ran and ended, newest first.

    It includes every terminal state and leaves out reused trials.
    """
    filled.trials.reuse("digits", "phase2", record=as_record(trial(0)))
    ends = filled.trials.ends("digits")
    assert len(ends) == 13
    assert [end.at for end in ends] == sorted((end.at for end in ends), reverse=True)
    assert {end.measure for end in ends} == {None}
    measured = filled.trials.ends("digits", measure="field_steps")
    rows = {row.ended_at: row for row in filled.trials.page("digits", limit=None).rows}
    assert all((end.phase, end.cell) == (rows[end.at].phase, rows[end.at].cell) for end in ends)
    assert sorted(end.measure or 0.0 for end in measured) == [0.0] * 3 + [75.0] * 10
    assert filled.trials.ends("digits", phase="phase2") == []
    assert filled.trials.ends("digits", limit=3) == ends[:3]


def test_coverage_equals_counts_and_sums_of_rows(filled, trial):
    """The counts and sums that `coverage` returns for a cell equal those computed from the cell's rows.

    It counts completed trials that ran, those with a positive metric, and distinct datasets, and sums their times
    and the metric.
    """
    filled.trials.reuse("digits", "phase2", record=as_record(trial(0)))
    found = filled.trials.coverage("digits", measure="field_steps", part="fit_seconds")
    ended = (TrialState.COMPLETE, TrialState.PRUNED)
    for (phase, cell), coverage in found.items():
        page = filled.trials.page("digits", phase=phase, cell=cell, limit=None)
        rows = [row for row in page.rows if row.state in ended]
        ran = [row for row in rows if not row.reused]
        assert (coverage.ended, coverage.datasets) == (len(ran), len({row.dataset for row in rows}))
        fits = [row for row in ran if row.metrics.get("field_steps", 0) > 0]
        assert coverage.measured == len(fits)
        assert coverage.amount == sum(row.metrics["field_steps"] for row in fits)
        assert coverage.part_seconds == pytest.approx(sum(row.metrics.get("fit_seconds", 0) for row in fits))
        assert coverage.seconds == pytest.approx(sum(row.ended_at - row.started_at for row in ran if row.started_at))
    assert found[SIREN].part_seconds > 0
    assert filled.trials.coverage("digits", measure="field_steps")[SIREN].part_seconds == 0
    assert found["phase2", SIREN[1]].ended == 0
    assert filled.trials.coverage("digits", measure="unheard_of")[SIREN].measured == 0


def test_columns_have_one_value_per_trial(filled):
    """A column has one value per trial, or None where a trial lacks the value.

    A column can be a row field, a metric or a parameter.
    """
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


def test_columns_have_the_types_of_rows(filled):
    """Numbers in columns are integers if the trials recorded integers, and floats if they recorded floats."""
    row = filled.trials.page("digits", state=TrialState.COMPLETE, limit=1).rows[0]
    recorded = {f"parameters.{name}": value for name, value in row.parameters.items() if not isinstance(value, bool)}
    recorded |= {f"metrics.{name}": value for name, value in row.metrics.items()}
    columns = filled.trials.columns("digits", list(recorded))
    assert {name: type(values[0]) for name, values in columns.items()} == {n: type(v) for n, v in recorded.items()}
    assert type(columns["parameters.steps"][0]) is int
    assert type(columns["metrics.field_steps"][0]) is float


def test_a_column_has_one_type(ledger):
    """A parameter that is an integer in some trials and a float in others becomes a column of floats."""
    ledger.studies.put("digits", {}, cells=as_cells({SIREN: 3}))
    for key, width, depth in (("a" * 20, 1, 2), ("b" * 20, 0.5, 3)):
        values = {"width": width, "depth": depth}
        record = TrialRecord(key=key, task="mine", cell=SIREN[1], seed=0, config="{}", parameters=values)
        ledger.trials.request("digits", "phase1", record=record)
    columns = ledger.trials.columns("digits", ["width", "depth"], state=None)
    assert repr(columns) == repr({"width": [1.0, 0.5], "depth": [2, 3]})


def test_totals_are_sums(filled):
    """Totals are sums over the complete trials of each cell."""
    assert filled.trials.totals("digits", ["field_steps"]) == {
        (*SIREN, "field_steps"): 375.0,
        (*MFN, "field_steps"): 375.0,
    }


def test_trial_is_found_by_key_alone_or_in_a_study(filled, trial):
    """A trial is found by its key alone, or by its key within a study or phase.

    An unknown key returns None.
    """
    key = trial(0).key
    assert filled.trials.get(key).key == key
    assert filled.trials.get(key, study="digits", phase="phase1") is not None
    assert filled.trials.get(key, study="other") is None
    assert filled.trials.get(key, phase="phase2") is None
    assert filled.trials.get("0" * 20) is None


def test_study_continues_with_what_is_added(ledger):
    """Storing a study again adds to its plan and to its planned numbers of trials.

    Plans are merged by top-level keys, and planned counts are replaced cell by cell.
    """
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
    """The record of a neural dataset is stored by digest, and a later record replaces it."""
    row = NeuralDatasetRow("d1", "neural_datasets/d1", (5, 75), 1000, {"engine": "eager"}, created_at=1.0)
    ledger.datasets.put(row)
    assert ledger.datasets.get("d1") == row
    dropped = NeuralDatasetRow("d1", "neural_datasets/d1", (5, 75), 0, {"engine": "eager"}, "dropped", created_at=1.0)
    ledger.datasets.put(dropped)
    assert ledger.datasets.all() == [dropped]
    assert ledger.datasets.get("d2") is None
