"""Tests of attempts: each trial gets one result, even if commits are late or repeated, or a driver dies."""

import math

import pytest

from nefstudy.errors import StaleAttempt
from nefstudy.ledger import TrialState

from .records import as_record

HERE = ("digits", "phase1")


def test_complete_trial_reads_back_as_written(ledger, trial):
    """All values that are committed with a trial's result are read back, including NaN and infinity."""
    made = trial(3, field="mfn", init="random", steps=200)
    token = ledger.trials.request(*HERE, record=as_record(made))
    ledger.trials.start(*HERE, key=made.key, token=token)
    metrics = {"val_accuracy": 0.5, "test_accuracy": 0.4, "all_psnr": 21.5, "broken": math.nan, "perfect": math.inf}
    curves = {"all_psnr": [(5, 10.0), (75, 21.5)], "val_loss": [(0, math.nan)]}
    files = {"reconstruction.png": "trials/a.png"}
    ledger.trials.complete(
        *HERE,
        key=made.key,
        token=token,
        metrics=metrics,
        curves=curves,
        artifacts=files,
        fingerprint={"engine": "eager"},
    )
    row = ledger.trials.get(made.key)
    assert row.state is TrialState.COMPLETE
    assert row.config == made.model_dump(mode="json")
    assert (row.cell, row.parameters["field"], row.parameters["signals"], row.parameters["init"]) == (
        "digits8/mfn",
        "mfn",
        "digits8",
        "random",
    )
    assert (row.parameters["hidden"], row.parameters["steps"], row.seed, row.attempt, row.reused) == (
        16,
        200,
        3,
        1,
        False,
    )
    assert row.dataset == made.dataset.digest
    assert (row.metrics["val_accuracy"], row.metrics["test_accuracy"], row.metrics["all_psnr"]) == (0.5, 0.4, 21.5)
    assert row.metrics == pytest.approx(metrics, nan_ok=True)
    assert row.requested_at <= row.started_at <= row.ended_at
    assert row.fingerprint == {"engine": "eager"}
    read = ledger.trials.curves(*HERE, key=made.key)
    assert read["all_psnr"] == [(5.0, 10.0), (75.0, 21.5)]
    assert math.isnan(read["val_loss"][0][1])
    assert ledger.trials.artifacts(*HERE, key=made.key) == files


def test_states_follow_the_trial(ledger, trial):
    """A trial changes from REQUESTED to RUNNING and then to its terminal state."""
    made = trial()
    token = ledger.trials.request(*HERE, record=as_record(made))
    assert ledger.trials.get(made.key).state is TrialState.REQUESTED
    ledger.trials.start(*HERE, key=made.key, token=token)
    assert ledger.trials.get(made.key).state is TrialState.RUNNING
    ledger.trials.fail(*HERE, key=made.key, token=token, cause="oom", error="9 GiB wanted")
    row = ledger.trials.get(made.key)
    assert (row.state, row.cause, row.error) == (TrialState.FAILED, "oom", "9 GiB wanted")


def test_second_commit_of_one_token_changes_nothing(ledger, trial):
    """If an attempt commits a second result with the same token, nothing changes."""
    made = trial()
    token = ledger.trials.request(*HERE, record=as_record(made))
    assert ledger.trials.complete(*HERE, key=made.key, token=token, metrics={"val_accuracy": 0.5})
    before = (ledger.trials.get(made.key), ledger.events.last_seq(), ledger.outbox.size())
    assert not ledger.trials.complete(*HERE, key=made.key, token=token, metrics={"val_accuracy": 0.9})
    assert (ledger.trials.get(made.key), ledger.events.last_seq(), ledger.outbox.size()) == before


def test_late_commit_of_an_earlier_attempt_is_refused(ledger, trial):
    """After a trial has been requested again, every write by its earlier attempt raises StaleAttempt."""
    made = trial()
    late = ledger.trials.request(*HERE, record=as_record(made))
    token = ledger.trials.request(*HERE, record=as_record(made))
    for act in (
        lambda: ledger.trials.start(*HERE, key=made.key, token=late),
        lambda: ledger.trials.complete(*HERE, key=made.key, token=late, metrics={"val_accuracy": 0.9}),
        lambda: ledger.trials.fail(*HERE, key=made.key, token=late, cause="bug", error="late"),
        lambda: ledger.trials.prune(*HERE, key=made.key, token=late, metrics={}),
    ):
        with pytest.raises(StaleAttempt, match=f"attempt {late} .*stale"):
            act()
    assert ledger.trials.complete(*HERE, key=made.key, token=token, metrics={"val_accuracy": 0.5})
    assert ledger.trials.get(made.key).metrics["val_accuracy"] == 0.5


def test_complete_never_changes(ledger, trial):
    """No call changes a COMPLETE trial."""
    made = trial()
    token = ledger.trials.request(*HERE, record=as_record(made))
    ledger.trials.complete(*HERE, key=made.key, token=token, metrics={"val_accuracy": 0.5})
    before = ledger.trials.get(made.key)
    for act in (
        lambda: ledger.trials.request(*HERE, record=as_record(made)),
        lambda: ledger.trials.start(*HERE, key=made.key, token=token),
        lambda: ledger.trials.fail(*HERE, key=made.key, token=token, cause="bug", error="late"),
        lambda: ledger.trials.prune(*HERE, key=made.key, token=token, metrics={}),
        lambda: ledger.trials.complete(*HERE, key=made.key, token=token + 1, metrics={}),
    ):
        with pytest.raises(StaleAttempt):
            act()
    assert ledger.trials.interrupt("digits") == 0
    assert ledger.trials.reuse(*HERE, record=as_record(made))
    assert ledger.trials.get(made.key) == before


def test_unrequested_trial_cannot_end(ledger):
    """A trial that was never requested cannot be completed."""
    with pytest.raises(StaleAttempt, match="0" * 20):
        ledger.trials.complete(*HERE, key="0" * 20, token=1, metrics={})


def test_interrupt_closes_every_open_attempt(ledger, trial, finish):
    """Interrupting a study makes its open trials INTERRUPTED and leaves its terminal trials unchanged.

    An interrupted trial cannot be completed until it is requested again.
    """
    done = finish(ledger, 1)
    asked, running = trial(2), trial(3)
    ledger.trials.request(*HERE, record=as_record(asked))
    token = ledger.trials.request(*HERE, record=as_record(running))
    ledger.trials.start(*HERE, key=running.key, token=token)
    assert ledger.trials.interrupt("digits") == 2
    assert ledger.trials.interrupt("digits") == 0
    assert ledger.trials.counts("digits") == {
        ("phase1", "digits8/siren", TrialState.COMPLETE): 1,
        ("phase1", "digits8/siren", TrialState.INTERRUPTED): 2,
    }
    with pytest.raises(StaleAttempt):
        ledger.trials.complete(*HERE, key=running.key, token=token, metrics={})
    assert ledger.trials.request(*HERE, record=as_record(running)) == token + 1
    assert ledger.trials.get(done.key).state is TrialState.COMPLETE


def test_next_attempt_starts_clean(ledger, trial):
    """When a trial is requested again, no query returns the measurements of its earlier attempts."""
    made = trial()
    token = ledger.trials.request(*HERE, record=as_record(made))
    ledger.trials.prune(
        *HERE, key=made.key, token=token, metrics={"val_accuracy": 0.1}, curves={"val_loss": [(0, 1.0)]}
    )
    assert ledger.trials.get(made.key).state is TrialState.PRUNED
    token = ledger.trials.request(*HERE, record=as_record(made))
    row = ledger.trials.get(made.key)
    assert (row.state, row.attempt, row.metrics.get("val_accuracy"), row.metrics) == (TrialState.REQUESTED, 2, None, {})
    assert ledger.trials.curves(*HERE, key=made.key) == {}
    assert ledger.trials.columns("digits", ["steps", "lr"], state=None) == {
        "steps": [75],
        "lr": [1e-3],
    }
    ledger.trials.complete(*HERE, key=made.key, token=token, metrics={"val_accuracy": 0.6})
    assert ledger.trials.columns("digits", ["val_accuracy"]) == {"val_accuracy": [0.6]}


def test_result_is_reused_at_no_cost(ledger, trial):
    """A trial can reuse the result of the same trial in another study; the costs of the reused result are zero."""
    made = trial()
    ledger.studies.put("other", {}, cells={})
    token = ledger.trials.request("other", "phase2", record=as_record(made))
    assert not ledger.trials.reuse(*HERE, record=as_record(made))
    metrics = {"val_accuracy": 0.5, "field_steps": 7500.0, "fit_seconds": 3.0, "classify_seconds": 2.0}
    curves, files = {"val_loss": [(0, 1.0)]}, {"reconstruction.png": "trials/a.png"}
    ledger.trials.complete(
        "other",
        "phase2",
        key=made.key,
        token=token,
        metrics=metrics,
        curves=curves,
        artifacts=files,
        fingerprint={"a": "b"},
    )
    assert ledger.trials.reuse(*HERE, record=as_record(made))
    row = ledger.trials.get(made.key, study="digits")
    assert (row.state, row.reused, row.metrics.get("val_accuracy"), row.fingerprint) == (
        TrialState.COMPLETE,
        True,
        0.5,
        {"a": "b"},
    )
    assert row.metrics == metrics | {"field_steps": 0.0, "fit_seconds": 0.0, "classify_seconds": 0.0}
    assert ledger.trials.curves(*HERE, key=made.key) == {"val_loss": [(0.0, 1.0)]}
    assert ledger.trials.artifacts(*HERE, key=made.key) == files
    assert not ledger.trials.get(made.key).reused, "the trial that ran is returned first"
    assert ledger.trials.totals("digits", ["field_steps"]) == {("phase1", "digits8/siren", "field_steps"): 0.0}


def test_reuse_fences_an_open_attempt(ledger, trial, finish):
    """If a trial with an open attempt reuses a result, the open attempt can no longer commit."""
    made = trial()
    token = ledger.trials.request(*HERE, record=as_record(made))
    finish(ledger, 0, phase="phase2")
    assert ledger.trials.reuse(*HERE, record=as_record(made))
    with pytest.raises(StaleAttempt):
        ledger.trials.complete(*HERE, key=made.key, token=token, metrics={})


def test_each_result_has_one_event_and_one_outbox_entry(ledger, trial, finish):
    """Completing a trial adds one event and one outbox entry."""
    made = finish(ledger, 1)
    kinds = [event.kind for event in ledger.events.since(0, study="digits") if event.key == made.key]
    assert kinds == ["requested", "started", "complete"]
    assert [(entry.key, entry.attempt) for entry in ledger.outbox.pending()] == [(made.key, 1)]
