"""Laws of who is trying: an attempt is counted when it begins, and one process writes at a time."""

import sqlite3
import time
from functools import partialmethod

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from nefstudy.errors import StudyBusy
from nefstudy.ledger import Ledger, Owner
from nefstudy.ledger.leases import Leases
from nefstudy.tracking import Runs, drain

pytestmark = pytest.mark.mlflow


def raising(error: type[BaseException]):
    """A function that raises, whatever it is given."""

    def refuse(*_, **__) -> None:
        raise error("no")

    return refuse


@pytest.mark.parametrize("error", [KeyboardInterrupt, MlflowException])
def test_only_what_was_begun_counts_as_tried(ledger, root, finish, monkeypatch, error) -> None:
    """A death, or an MLflow that goes away, in the first of several results costs the others no try."""
    for seed in range(3):
        finish(ledger, seed)
    with monkeypatch.context() as trouble:

        def log_batch(*_, **__) -> None:
            trouble.setattr(Runs, "check", raising(MlflowException))
            raise error("no")

        trouble.setattr(MlflowClient, "log_batch", log_batch)
        try:
            assert drain(ledger, root=root) == 3
        except KeyboardInterrupt:
            assert error is KeyboardInterrupt
    assert [entry.tries for entry in ledger.outbox.pending()] == [0, 0, 1]


@pytest.mark.slow
def test_a_slow_store_costs_no_exporter_its_lease(ledger, root, runs, finish, monkeypatch) -> None:
    """While runs are written, however slowly, nobody else gets the export."""
    for seed in range(2):
        finish(ledger, seed)
    monkeypatch.setattr(Leases, "acquire_export", partialmethod(Leases.acquire_export, lease_s=1.0))
    write, others = Runs.write, []

    def slowly(*args, **options) -> None:
        time.sleep(2.0)
        try:
            others.append(ledger.leases.acquire_export(Owner.here()))
        except StudyBusy:
            write(*args, **options)

    monkeypatch.setattr(Runs, "write", slowly)
    assert drain(ledger, root=root) == 0
    assert others == []
    assert {run.info.status for run in runs()} == {"FINISHED"}


def test_an_exporter_that_was_taken_over_begins_nothing_more(ledger, root, runs, finish, monkeypatch) -> None:
    """One that was suspended for longer than its lease ends, and takes the run back that it was writing."""
    for seed in range(3):
        finish(ledger, seed)
    acquire, write, lent = Leases.acquire_export, Runs.write, []

    def taken_over(*args, **options) -> None:
        ledger.leases.release(lent[0])
        acquire(ledger.leases, Owner.here())
        write(*args, **options)

    def remembered(book, owner):
        lent.append(acquire(book, owner))
        return lent[0]

    monkeypatch.setattr(Leases, "acquire_export", remembered)
    monkeypatch.setattr(Runs, "write", taken_over)
    assert drain(ledger, root=root) == 3
    assert runs() == []
    assert [entry.tries for entry in ledger.outbox.pending()] == [0, 0, 1]


def test_a_ledger_set_back_to_before_an_export_doubles_no_run(ledger, root, runs, finish, tmp_path) -> None:
    """What an earlier copy of the ledger holds as never exported is looked for before it is written."""
    finish(ledger, 0)
    with sqlite3.connect(tmp_path / "ledger.db") as source, sqlite3.connect(tmp_path / "backup.db") as target:
        source.backup(target)
    assert drain(ledger, root=root) == 0
    (run,) = runs()
    with Ledger.open(str(tmp_path / "backup.db")) as earlier:
        assert drain(earlier, root=root) == 0
    assert [each.info.run_id for each in runs()] == [run.info.run_id]
