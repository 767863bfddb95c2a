"""Tests of a ledger that is replaced while a driver holds a lease on it."""

import sqlite3

import pytest

from nefstudy.errors import LedgerReplaced
from nefstudy.ledger import Ledger

from ..present import present
from .records import as_record


def copy(path, to) -> None:
    """Copy a ledger as `sqlite3 ledger.db .backup` would."""
    with sqlite3.connect(path) as source, sqlite3.connect(to) as target:
        source.backup(target)
    source.close()
    target.close()


def put_in_place(backup, path) -> None:
    """Replace a ledger with another file."""
    for part in path.parent.glob(f"{path.name}*"):
        part.unlink()
    backup.replace(path)


@pytest.mark.parametrize("when", ["before its lease", "in the middle", "just before a write"])
def test_driver_of_a_restored_backup_writes_nothing_more(tmp_path, owner, trial, when):
    """If a backup is restored during a run, the driver's next write, renewal or check raises LedgerReplaced."""
    path, backup = tmp_path / "ledger.db", tmp_path / "backup.db"
    with Ledger.open(str(path)) as ledger:
        ledger.studies.put("digits", {}, cells={})
        if when == "before its lease":
            copy(path, backup)
        lease = ledger.leases.acquire("digits", owner)
        token = present(ledger.trials.claim("digits", "phase1", record=as_record(trial()), lease=lease))
        if when == "in the middle":
            copy(path, backup)
        ledger.trials.start("digits", "phase1", key=trial().key, token=token, lease=lease)
        if when == "just before a write":
            copy(path, backup)
        ledger.leases.renew(lease)
        put_in_place(backup, path)
        before = ledger.events.last_seq()
        for act in (
            lambda: ledger.trials.claim("digits", "phase1", record=as_record(trial(1)), lease=lease),
            lambda: ledger.leases.renew(lease),
            lambda: ledger.leases.check_held(lease),
        ):
            with pytest.raises(LedgerReplaced, match=r"'digits' .*replaced"):
                act()
        assert ledger.events.last_seq() == before
        ledger.leases.release(lease, state="stopped")
        ledger.leases.acquire("digits", owner)


def test_complete_copy_keeps_its_driver(tmp_path, owner, trial):
    """If the ledger is replaced by a copy that includes every write of the driver, the driver continues."""
    path, backup = tmp_path / "ledger.db", tmp_path / "backup.db"
    with Ledger.open(str(path)) as ledger:
        ledger.studies.put("digits", {}, cells={})
        lease = ledger.leases.acquire("digits", owner)
        ledger.trials.claim("digits", "phase1", record=as_record(trial()), lease=lease)
        copy(path, backup)
        put_in_place(backup, path)
        ledger.leases.check_held(lease)
        assert ledger.trials.claim("digits", "phase1", record=as_record(trial(1)), lease=lease) == 1


def test_a_driver_of_another_ledger_writes_nothing(tmp_path, owner, trial):
    """If the ledger is replaced by a different one, the driver's next write raises LedgerReplaced.

    Nothing is written to the new ledger.
    """
    with Ledger.open(str(tmp_path / "other.db")) as other:
        other.studies.put("other", {}, cells={})
    with Ledger.open(str(tmp_path / "ledger.db")) as ledger:
        ledger.studies.put("digits", {}, cells={})
        lease = ledger.leases.acquire("digits", owner)
        put_in_place(tmp_path / "other.db", tmp_path / "ledger.db")
        with pytest.raises(LedgerReplaced, match="same command"):
            ledger.trials.claim("digits", "phase1", record=as_record(trial()), lease=lease)
        assert [study.study for study in ledger.studies.all()] == ["other"]


def test_an_export_that_outlives_its_ledger_marks_nothing(tmp_path, owner, finish):
    """If the ledger is replaced during an export, entries can no longer be marked as exported.

    In the new ledger, their ids may belong to other trials.
    """
    path, backup = tmp_path / "ledger.db", tmp_path / "backup.db"
    with Ledger.open(str(path)) as ledger:
        ledger.studies.put("digits", {}, cells={})
        copy(path, backup)
        finish(ledger, 0)
        lease = ledger.leases.acquire_export(owner)
        entries = ledger.outbox.take(1, lease=lease)
        with Ledger.open(str(backup)) as other:
            finish(other, 1)
        put_in_place(backup, path)
        with pytest.raises(LedgerReplaced, match="the export"):
            ledger.outbox.mark_exported(entries, lease=lease)
        assert ledger.outbox.size() == 1
