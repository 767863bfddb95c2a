"""Laws of `nefstudy export mlflow`: one call carries all there is, and says what it did."""

import json
from functools import partial

import pytest
from mlflow.exceptions import MlflowException
from typer.testing import CliRunner

from nefstudy import tracking
from nefstudy.cli.main import cli

from ..ledger.records import as_record

pytestmark = pytest.mark.mlflow


@pytest.fixture
def export(root):
    """Runs the command on the test's root; gives what it says as JSON."""

    def run(*options: str) -> dict[str, object]:
        found = CliRunner().invoke(
            cli, ["export", "mlflow", "--root", root, "--json", *options], env={"COLUMNS": "200"}
        )
        assert found.exit_code == 0, found.output
        return json.loads(found.stdout)

    return run


@pytest.fixture(autouse=True)
def at_home(monkeypatch) -> None:
    """The root's own store and ledger, whatever the environment names."""
    for name in ("MLFLOW_TRACKING_URI", "NEFSTUDY_LEDGER", "NEFSTUDY_ROOT"):
        monkeypatch.delenv(name, raising=False)


def test_one_call_carries_all_that_waits(export, ledger, runs, finish, monkeypatch) -> None:
    """More results than one drain takes are all written by one call, past one that MLflow refuses."""
    finish(ledger, 0, metrics={"not a metric's name!": 1.0})
    for seed in range(1, 8):
        finish(ledger, seed)
    monkeypatch.setattr(tracking, "drain", partial(tracking.drain, limit=2))
    said = export()
    assert (said["written"], said["left"]) == (7, 1)
    assert len(runs(where="attributes.status = 'FINISHED'")) == 7


def test_a_rebuild_counts_the_study_it_was_asked_for(export, ledger, runs, finish, make) -> None:
    """What waits of other studies, and is refused, takes nothing from the number of runs of the one that is named."""
    ledger.studies.put("other", {}, cells={})
    for seed in range(3):
        token = ledger.trials.request("other", "phase1", record=as_record(make(seed)))
        bad = {"not a metric's name!": 1.0}
        ledger.trials.complete("other", "phase1", key=make(seed).key, token=token, metrics=bad)
    finish(ledger, 1)
    finish(ledger, 2)
    said = export("--rebuild", "--study", "digits")
    assert (said["written"], said["left"]) == (2, 0)
    assert ledger.outbox.size() == 3
    assert len(runs()) == 2


def test_what_was_given_up_is_taken_again_when_it_is_asked_for(export, ledger, runs, finish, monkeypatch) -> None:
    """Results refused until they were left alone are written by a plain call, each as one run."""
    finish(ledger, 1)
    finish(ledger, 2)
    with monkeypatch.context() as trouble:
        trouble.setattr("mlflow.MlflowClient.set_terminated", refuse)
        for _ in range(6):
            assert tracking.drain(ledger, root=runs.root) == 2
    assert [entry.tries for entry in ledger.outbox.pending()] == [5, 5]
    said = export()
    assert (said["written"], said["left"]) == (2, 0)
    assert sorted((run.data.params["seed"], run.info.status) for run in runs()) == [
        ("1", "FINISHED"),
        ("2", "FINISHED"),
    ]


def refuse(*_, **__) -> None:
    raise MlflowException("500 the disk of the artifacts is full")
