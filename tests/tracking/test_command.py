"""Tests of `nefstudy export mlflow`: one call exports everything and reports what it did."""

import json
from functools import partial

import pytest
from mlflow.exceptions import MlflowException
from typer.testing import CliRunner

import nefstudy.tracking.export as tracking
from nefstudy.cli.main import cli

from ..ledger.records import as_record

pytestmark = pytest.mark.mlflow


@pytest.fixture
def export(root):
    """Return a function that runs the command on the test's root and returns its JSON output."""

    def run(*options: str) -> dict[str, object]:
        result = CliRunner().invoke(
            cli, ["export", "mlflow", "--root", root, "--json", *options], env={"COLUMNS": "200"}
        )
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    return run


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch) -> None:
    """Use the root's own store and ledger, whatever the environment variables say."""
    for name in ("MLFLOW_TRACKING_URI", "NEFSTUDY_LEDGER", "NEFSTUDY_ROOT"):
        monkeypatch.delenv(name, raising=False)


def test_one_call_exports_everything(export, ledger, runs, finish, monkeypatch) -> None:
    """One call exports all results, even if they do not fit into one batch.

    A result that MLflow rejects is skipped.
    """
    finish(ledger, 0, metrics={"not a metric's name!": 1.0})
    for seed in range(1, 8):
        finish(ledger, seed)
    monkeypatch.setattr(tracking, "drain", partial(tracking.drain, limit=2))
    output = export()
    assert (output["written"], output["left"]) == (7, 1)
    assert len(runs(where="attributes.status = 'FINISHED'")) == 7


def test_a_rebuild_counts_only_the_requested_study(export, ledger, runs, finish, make) -> None:
    """In a rebuild of one study, rejected results of other studies do not change the reported number of runs."""
    ledger.studies.put("other", {}, cells={})
    for seed in range(3):
        token = ledger.trials.request("other", "phase1", record=as_record(make(seed)))
        bad = {"not a metric's name!": 1.0}
        ledger.trials.complete("other", "phase1", key=make(seed).key, token=token, metrics=bad)
    finish(ledger, 1)
    finish(ledger, 2)
    output = export("--rebuild", "--study", "digits")
    assert (output["written"], output["left"]) == (2, 0)
    assert ledger.outbox.size() == 3
    assert len(runs()) == 2


def test_abandoned_results_are_retried_on_request(export, ledger, runs, finish, monkeypatch) -> None:
    """The command exports results that earlier exports had given up on after several failures.

    Each of these results has one run.
    """
    finish(ledger, 1)
    finish(ledger, 2)
    with monkeypatch.context() as failing:
        failing.setattr("mlflow.MlflowClient.set_terminated", refuse)
        for _ in range(6):
            assert tracking.drain(ledger, root=runs.root) == 2
    assert [entry.tries for entry in ledger.outbox.pending()] == [5, 5]
    output = export()
    assert (output["written"], output["left"]) == (2, 0)
    assert sorted((run.data.params["seed"], run.info.status) for run in runs()) == [
        ("1", "FINISHED"),
        ("2", "FINISHED"),
    ]


def refuse(*_, **__) -> None:
    raise MlflowException("500 the disk of the artifacts is full")
