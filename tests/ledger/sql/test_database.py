"""Tests of a ledger whose database is missing, locked, full, restarted or replaced."""

import signal
import socket
import sqlite3
import threading
import time

import pytest
from sqlalchemy import event

from nefstudy.errors import BadLedger
from nefstudy.ledger import Ledger

from ...faults.network import Network
from ...present import present


def test_missing_ledger_cannot_be_read(tmp_path):
    """Opening a missing ledger read-only raises an error with its path and creates no directory."""
    path = tmp_path / "runs" / "ledger.db"
    with pytest.raises(BadLedger, match=f"{path}; .*--ledger"):
        Ledger.open(str(path), read_only=True)
    assert not path.parent.exists()


def test_empty_file_counts_as_a_missing_ledger(tmp_path):
    """An empty file counts as a missing ledger."""
    (tmp_path / "ledger.db").touch()
    with pytest.raises(BadLedger, match=f"{tmp_path}/ledger.db; "):
        Ledger.open(str(tmp_path / "ledger.db"), read_only=True)


def test_new_ledger_creates_its_directories(tmp_path):
    """Opening a new ledger creates the directories of its path."""
    Ledger.open(str(tmp_path / "a" / "b" / "ledger.db")).close()
    assert (tmp_path / "a" / "b" / "ledger.db").is_file()


def test_blocked_directory_is_named(tmp_path):
    """If a file blocks a directory of the ledger's path, BadLedger names the directory."""
    (tmp_path / "a").touch()
    with pytest.raises(BadLedger, match=f"{tmp_path}/a/b "):
        Ledger.open(str(tmp_path / "a" / "b" / "ledger.db"))


def test_read_only_ledger_refuses_to_write(url):
    """A ledger opened read-only can be read but rejects writes."""
    with Ledger.open(url) as ledger:
        ledger.studies.put("digits", {}, cells={})
    with Ledger.open(url, read_only=True) as ledger:
        assert ledger.read_only
        with pytest.raises(BadLedger, match="read-only"):
            ledger.events.append("digits", "note")
        assert [study.study for study in ledger.studies.all()] == ["digits"]


@pytest.mark.postgres
def test_url_shows_no_password(postgres):
    """The displayed address of a ledger contains no password."""
    with Ledger.open(postgres.url("postgres").replace("postgres@", "postgres:secret@")) as ledger:
        assert "secret" not in ledger.url


@pytest.mark.fault
@pytest.mark.postgres
def test_unresponsive_server_is_detected_within_half_a_minute(postgres):
    """A connection to PostgreSQL has TCP timeouts of at most 30 s, after which an unresponsive server is detected."""
    with (
        Network(str(postgres.home / ".s.PGSQL.5432")) as network,
        Ledger.open(f"postgresql://postgres@127.0.0.1:{network.port}/postgres") as ledger,
    ):
        connection = ledger._database._engine.raw_connection()
        number = present(connection.driver_connection).fileno()
        with socket.fromfd(number, socket.AF_INET, socket.SOCK_STREAM) as wire:
            names = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
            options = {name: wire.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in names}
            assert wire.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        connection.close()
    assert options["TCP_KEEPIDLE"] + options["TCP_KEEPCNT"] * options["TCP_KEEPINTVL"] <= 30
    assert 0 < options["TCP_USER_TIMEOUT"] <= 30_000


def test_write_waits_for_a_locked_file(tmp_path):
    """If another program locks the file, a write waits for the lock to be released and then succeeds."""
    path = tmp_path / "ledger.db"
    with Ledger.open(str(path)) as ledger:
        other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        threading.Timer(0.3, lambda: other.execute("COMMIT")).start()
        ledger.studies.put("digits", {}, cells={})
        assert ledger.studies.get("digits") is not None
        other.close()


def test_readers_do_not_wait_for_a_writer(tmp_path):
    """While another connection writes, readers see the last commit without waiting."""
    path = tmp_path / "ledger.db"
    with Ledger.open(str(path)) as ledger:
        ledger.studies.put("digits", {}, cells={})
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        other.execute("UPDATE studies SET state = 'half done'")
        began = time.monotonic()
        assert present(ledger.studies.get("digits")).state == "created"
        assert time.monotonic() - began < 10, "the timeout is a minute"
        other.close()


def test_removed_ledger_raises(tmp_path):
    """If the file of an open ledger is removed, the next call raises BadLedger and creates no file."""
    path = tmp_path / "ledger.db"
    with Ledger.open(str(path)) as ledger:
        ledger.studies.put("digits", {}, cells={})
        path.rename(tmp_path / "away.db")
        for act in (ledger.studies.all, lambda: ledger.events.append("digits", "note")):
            with pytest.raises(BadLedger, match=f"{path} .*restore"):
                act()
        assert not path.exists()
        (tmp_path / "away.db").rename(path)
        assert ledger.studies.get("digits") is not None


def test_replaced_ledger_is_followed(tmp_path):
    """If the file of an open ledger is replaced, the next call reads the new file.

    A new file that is not a ledger is rejected.
    """
    with Ledger.open(str(tmp_path / "other.db")) as other:
        other.studies.put("other", {}, cells={})
    (tmp_path / "text.db").write_text("not a ledger " * 1000)
    path = tmp_path / "ledger.db"
    with Ledger.open(str(path)) as ledger:
        ledger.studies.put("digits", {}, cells={})
        for part in tmp_path.glob("ledger.db*"):  # a removed ledger's log is removed too
            part.unlink()
        (tmp_path / "other.db").replace(path)
        assert [study.study for study in ledger.studies.all()] == ["other"]
        (tmp_path / "text.db").replace(path)
        with pytest.raises(BadLedger, match="not a database"):
            ledger.studies.all()


def test_full_disk_is_reported_on_one_line(tmp_path, finish):
    """Writing to a full disk raises a one-line error that contains the ledger's path and SQLite's reason."""
    path = tmp_path / "ledger.db"
    with Ledger.open(str(path)) as ledger:
        ledger.studies.put("digits", {}, cells={})
        done = finish(ledger, 1)

        @event.listens_for(ledger._database._engine, "begin")
        def stop_growing(connection):
            connection.exec_driver_sql("PRAGMA max_page_count = 1")  # SQLite raises this to the current size

        with pytest.raises(BadLedger) as caught:
            _finish_many(finish, ledger)
        event.remove(ledger._database._engine, "begin", stop_growing)
        (line,) = str(caught.value).splitlines()
        assert str(path) in line
        assert "database or disk is full" in line
        assert present(ledger.trials.get(done.key)).state == "COMPLETE"


@pytest.mark.fault
def test_full_disk_loses_no_committed_result(tmp_path, finish):
    """If a commit fails because the disk is full, all earlier commits are kept.

    Once there is space again, the ledger accepts new trials.
    """
    path = tmp_path / "ledger.db"
    with Ledger.open(str(path), timeout_s=1.0) as ledger:
        ledger.studies.put("digits", {}, cells={})
        done = finish(ledger, 1)
    with Ledger.open(str(path), timeout_s=1.0) as ledger:
        _limit_file_size(path.stat().st_size)
        try:
            with pytest.raises(BadLedger, match=r": .*disk"):
                _finish_many(finish, ledger)
        finally:
            _limit_file_size(None)
        finish(ledger, 99)
        assert present(ledger.trials.get(done.key)).metrics["val_accuracy"] == 0.01
        assert all(row.state in ("COMPLETE", "RUNNING", "REQUESTED") for row in ledger.trials.page("digits").rows)


def _finish_many(finish, ledger):
    for seed in range(2, 60):
        finish(ledger, seed)


def _limit_file_size(size):
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard if size is None else size, hard))


@pytest.mark.fault
@pytest.mark.postgres
@pytest.mark.slow
def test_server_restart_loses_and_duplicates_nothing(postgres, finish):
    """If the server is killed and restarted during writes, no trial is lost or duplicated.

    Every call succeeds, because calls are retried until the server is back.
    """
    url = postgres.url("postgres")
    with Ledger.open(url, timeout_s=60.0) as ledger:
        ledger.studies.put("restart", {}, cells={})
        acknowledged: list[str] = []
        failed: list[Exception] = []
        stop = threading.Event()

        def drive() -> None:
            try:
                while not stop.is_set():
                    acknowledged.append(finish(ledger, len(acknowledged), study="restart").key)
            except Exception as error:
                failed.append(error)

        driver = threading.Thread(target=drive)
        driver.start()
        for _ in range(3):
            time.sleep(0.5)
            postgres.stop(signal.SIGQUIT)
            time.sleep(0.3)
            postgres.start()
        deadline = time.monotonic() + 60
        while len(acknowledged) <= 10 and driver.is_alive() and time.monotonic() < deadline:
            time.sleep(0.05)  # writes are slow on a busy machine
        stop.set()
        driver.join()
        assert failed == []
        rows = ledger.trials.page("restart", limit=None).rows
        assert sorted(acknowledged) == sorted(row.key for row in rows)
        assert {row.state for row in rows} == {"COMPLETE"}
        assert len(acknowledged) > 10
