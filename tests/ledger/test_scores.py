"""Tests of scores; a trial's score is the raw value of its cell's objective."""

import math
from dataclasses import replace

import pytest

from nefstudy.ledger import CellRecord, Filter, TrialState

from .records import as_record

LOSSES, SCORES = ("phase1", "losses"), ("phase1", "scores")
CELLS = {
    SCORES: CellRecord(9, task="classification", metric="val_accuracy", direction="maximize"),
    LOSSES: CellRecord(9, task="race", metric="loss", direction="minimize"),
}


@pytest.fixture
def scored(ledger):
    """Return a ledger with a study of two cells, one of which minimizes its objective."""
    ledger.studies.put("scored", {}, cells=CELLS)
    return ledger


@pytest.fixture
def end(scored, trial):
    """Return a function that requests and ends a trial in a cell and returns the trial's row."""

    def run(seed, cell, *, study="scored", how="complete", **metrics):
        record = replace(as_record(trial(seed)), cell=cell[1])
        token = scored.trials.request(study, cell[0], record=record)
        getattr(scored.trials, how)(study, cell[0], key=record.key, token=token, metrics=metrics)
        return scored.trials.get(record.key, study=study)

    return run


def test_a_score_is_the_objectives_value(end):
    """A complete or pruned trial's score is its cell's objective, or None if the objective has no finite value."""
    assert end(1, SCORES, val_accuracy=0.5, loss=3.0).score == 0.5
    assert end(2, LOSSES, val_accuracy=0.5, loss=3.0).score == 3.0
    assert end(3, LOSSES, val_accuracy=0.5).score is None
    assert [end(4 + i, SCORES, val_accuracy=value).score for i, value in enumerate((math.nan, math.inf))] == [None] * 2
    assert end(6, SCORES, how="prune", val_accuracy=0.25).score == 0.25
    assert end(7, ("phase1", "unplanned"), val_accuracy=0.5).score is None


def test_a_failed_trial_has_no_score(scored, trial):
    """A failed trial has no score, not even the score of an earlier attempt."""
    record = replace(as_record(trial(1)), cell="scores")
    at = {"study": "scored", "phase": "phase1", "key": record.key}
    token = scored.trials.request("scored", "phase1", record=record)
    scored.trials.prune(**at, token=token, metrics={"val_accuracy": 0.5})
    token = scored.trials.request("scored", "phase1", record=record)
    assert scored.trials.get(record.key).score is None
    scored.trials.fail(**at, token=token, cause="bug", error="")
    assert scored.trials.get(record.key).score is None
    events = [event.data for event in scored.events.since(0, study="scored") if event.key == record.key]
    assert [data.get("score") for data in events] == [None, 0.5, None, None]


def test_the_best_follow_the_direction(scored, end):
    """The best trials are those with the lowest loss or the highest accuracy, depending on the objective.

    Filters and sorts use the same scores.
    """
    for seed in range(6):
        end(seed, SCORES if seed % 2 else LOSSES, val_accuracy=seed / 10, loss=float(seed))
    assert [(row.cell, row.score) for row in scored.trials.best("scored")] == [("scores", 0.5), ("losses", 0.0)]
    assert [row.score for row in scored.trials.best("scored", cell="losses", limit=2)] == [0.0, 2.0]
    page = scored.trials.page("scored", cell="losses", sort="-score", filters=[Filter("score", ">", 1)])
    assert [row.score for row in page.rows] == [4.0, 2.0]


def test_a_reused_result_is_scored_by_the_study_that_reuses_it(scored, end, trial):
    """A reused result is scored by the objective of the study that reuses it."""
    cell = CellRecord(1, task="race", metric="loss", direction="minimize")
    scored.studies.put("other", {}, cells={("phase2", "scores"): cell})
    made = end(1, SCORES, val_accuracy=0.5, loss=3.0)
    assert scored.trials.reuse("other", "phase2", record=replace(as_record(trial(1)), cell="scores"))
    row = scored.trials.get(made.key, study="other")
    assert (row.reused, row.score, row.metrics) == (True, 3.0, made.metrics)


def test_another_objective_rescores_ended_trials(scored, end):
    """If a study continues with a different objective, its earlier trials get new scores."""
    keys = [end(seed, SCORES, val_accuracy=seed / 10, loss=loss).key for seed, loss in enumerate((2.0, math.inf))]
    other = {SCORES: replace(CELLS[SCORES], metric="loss", direction="minimize")}
    scored.studies.put("scored", {}, cells=other)
    assert [scored.trials.get(key).score for key in keys] == [2.0, None]
    assert scored.studies.cells("scored") == {**CELLS, **other}
    assert scored.trials.best("scored")[0].key == keys[0]
    assert scored.trials.get(keys[0]).state is TrialState.COMPLETE


def test_a_record_reads_back_as_written(scored, trial):
    """A record's configuration, parameters and needs are read back, even if the record names no neural dataset."""
    record = replace(as_record(trial(1)), task="race", cell="losses", dataset=None, needs=("a" * 20, "b" * 20))
    scored.trials.request("scored", "phase1", record=record)
    row = scored.trials.get(record.key)
    assert (row.task, row.cell, row.dataset, row.needs) == ("race", "losses", None, record.needs)
    assert (row.parameters, row.config) == (record.parameters, trial(1).model_dump(mode="json"))
    (stored,) = scored.trials.page("scored", filters=[Filter("omega_0", "=", 9)]).rows
    assert stored == row
    assert scored.datasets.needs("scored") == {("phase1", record.key): record.needs}
    assert scored.datasets.needs("other") == {}


def test_needs_of_open_trials_are_not_dropped(scored, trial):
    """A neural dataset that an open trial needs cannot be dropped.

    Once every trial that needs it has ended, it can be dropped.
    """
    record = replace(as_record(trial(1)), dataset=None, needs=("a" * 20, "b" * 20))
    token = scored.trials.request("scored", "phase1", record=record)
    assert [scored.datasets.begin_drop(digest) for digest in ("a" * 20, "b" * 20, "a" * 19)] == [False, False, True]
    scored.trials.complete("scored", "phase1", key=record.key, token=token, metrics={})
    assert scored.datasets.begin_drop("b" * 20)
