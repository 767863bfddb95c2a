"""Tests of tries to export a result: a try is counted when it begins, and only one process exports at a time."""

import sqlite3
import time
from functools import partialmethod

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from nefstudy.errors import StudyBusy
from nefstudy.ledger import Lease, Ledger, Owner
from nefstudy.ledger.leases import Leases
from nefstudy.tracking.export import Runs, drain

pytestmark = pytest.mark.mlflow


def raising(error: type[BaseException]):
    """Return a function that raises `error` for any arguments."""

    def fail(*_, **__) -> None:
        raise error("no")

    return fail


@pytest.mark.parametrize("error", [KeyboardInterrupt, MlflowException])
def test_only_a_result_that_was_begun_counts_as_tried(ledger, root, finish, monkeypatch, error) -> None:
    """If an export is interrupted, only the result that it had begun to write counts as tried."""
    for seed in range(3):
        finish(ledger, seed)
    with monkeypatch.context() as failing:

        def log_batch(*_, **__) -> None:
            failing.setattr(Runs, "check", raising(MlflowException))
            raise error("no")

        failing.setattr(MlflowClient, "log_batch", log_batch)
        try:
            assert drain(ledger, root=root) == 3
        except KeyboardInterrupt:
            assert error is KeyboardInterrupt
    assert [entry.tries for entry in ledger.outbox.pending()] == [0, 0, 1]


@pytest.mark.slow
def test_a_slow_store_costs_no_exporter_its_lease(ledger, root, runs, finish, monkeypatch) -> None:
    """While runs are written, however slowly, no other process gets the export lease."""
    for seed in range(2):
        finish(ledger, seed)
    monkeypatch.setattr(Leases, "acquire_export", partialmethod(Leases.acquire_export, lease_s=1.0))
    write, others = Runs.write, []

    def slowly(*args, **options) -> None:
        time.sleep(2.0)
        try:
            others.append(ledger.leases.acquire_export(Owner.current()))
        except StudyBusy:
            write(*args, **options)

    monkeypatch.setattr(Runs, "write", slowly)
    assert drain(ledger, root=root) == 0
    assert others == []
    assert {run.info.status for run in runs()} == {"FINISHED"}


def test_a_replaced_exporter_starts_nothing_more(ledger, root, runs, finish, monkeypatch) -> None:
    """An exporter that has lost its lease stops and deletes the run that it was writing."""
    for seed in range(3):
        finish(ledger, seed)
    acquire, write = Leases.acquire_export, Runs.write
    leases: list[Lease] = []

    def write_after_takeover(*args, **options) -> None:
        ledger.leases.release(leases[0])
        acquire(ledger.leases, Owner.current())
        write(*args, **options)

    def remember_lease(table, owner):
        leases.append(acquire(table, owner))
        return leases[0]

    monkeypatch.setattr(Leases, "acquire_export", remember_lease)
    monkeypatch.setattr(Runs, "write", write_after_takeover)
    assert drain(ledger, root=root) == 3
    assert runs() == []
    assert [entry.tries for entry in ledger.outbox.pending()] == [0, 0, 1]


def test_an_older_copy_of_the_ledger_duplicates_no_run(ledger, root, runs, finish, tmp_path) -> None:
    """Exporting from a restored copy of the ledger duplicates no run.

    Before a run is written, the export looks for it in MLflow.
    """
    finish(ledger, 0)
    with sqlite3.connect(tmp_path / "ledger.db") as source, sqlite3.connect(tmp_path / "backup.db") as target:
        source.backup(target)
    assert drain(ledger, root=root) == 0
    (run,) = runs()
    with Ledger.open(str(tmp_path / "backup.db")) as earlier:
        assert drain(earlier, root=root) == 0
    assert [each.info.run_id for each in runs()] == [run.info.run_id]
