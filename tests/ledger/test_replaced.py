"""A ledger replaced under a holder of one of its leases: nothing more is written, however young the backup is."""

import sqlite3

import pytest

from nefstudy.errors import LedgerReplaced
from nefstudy.ledger import Ledger

from .records import as_record


def copy(path, to) -> None:
    """A whole copy of a ledger, as `sqlite3 ledger.db .backup` makes one."""
    with sqlite3.connect(path) as source, sqlite3.connect(to) as target:
        source.backup(target)
    source.close()
    target.close()


def put_in_place(backup, path) -> None:
    """Another file where a ledger was."""
    for part in path.parent.glob(f"{path.name}*"):
        part.unlink()
    backup.replace(path)


@pytest.mark.parametrize("when", ["before its lease", "in the middle", "just before a write"])
def test_a_driver_of_a_ledger_that_was_set_back_writes_nothing_more(tmp_path, owner, trial, when):
    """A backup put back under a living driver is noticed by the next write, renewal or check, however young it is."""
    path, backup = tmp_path / "ledger.db", tmp_path / "backup.db"
    with Ledger.open(str(path)) as ledger:
        ledger.studies.put("digits", {}, cells={})
        if when == "before its lease":
            copy(path, backup)
        lease = ledger.leases.acquire("digits", owner)
        token = ledger.trials.claim("digits", "phase1", record=as_record(trial()), lease=lease)
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
            with pytest.raises(LedgerReplaced, match="study 'digits' stopped: its ledger was replaced"):
                act()
        assert ledger.events.last_seq() == before
        ledger.leases.release(lease, state="stopped")
        ledger.leases.acquire("digits", owner)


def test_a_ledger_that_was_moved_whole_keeps_its_driver(tmp_path, owner, trial):
    """The sensitivity twin: a copy that holds every write of the driver is as good as the file before."""
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
    """A ledger of somebody else's in its place is neither written nor taken for a released lease."""
    with Ledger.open(str(tmp_path / "other.db")) as other:
        other.studies.put("other", {}, cells={})
    with Ledger.open(str(tmp_path / "ledger.db")) as ledger:
        ledger.studies.put("digits", {}, cells={})
        lease = ledger.leases.acquire("digits", owner)
        put_in_place(tmp_path / "other.db", tmp_path / "ledger.db")
        with pytest.raises(LedgerReplaced, match="run the same command again"):
            ledger.trials.claim("digits", "phase1", record=as_record(trial()), lease=lease)
        assert [study.study for study in ledger.studies.all()] == ["other"]


def test_an_export_that_outlives_its_ledger_marks_nothing(tmp_path, owner, finish):
    """Entries are marked by number, which in another ledger is another trial's: the mark is refused."""
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
        with pytest.raises(LedgerReplaced, match="the export stopped"):
            ledger.outbox.mark(entries, lease=lease)
        assert ledger.outbox.size() == 1
