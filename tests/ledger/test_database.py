"""The database under a ledger: missing, locked, full, restarted or given wrongly."""

import signal
import socket
import sqlite3
import threading
import time

import pytest

from nefstudy.errors import BadLedger
from nefstudy.ledger import Ledger

from ..faults.network import Network


def test_missing_ledger_cannot_be_read(tmp_path):
    """Reading a ledger that is not there names the path and creates nothing."""
    path = tmp_path / "runs" / "ledger.db"
    with pytest.raises(BadLedger, match=f"no ledger at {path}; give .* --ledger"):
        Ledger.open(str(path), read_only=True)
    assert not path.parent.exists()


def test_empty_file_is_no_ledger_to_read(tmp_path):
    """An empty file is as good as none."""
    (tmp_path / "ledger.db").touch()
    with pytest.raises(BadLedger, match="no ledger at"):
        Ledger.open(str(tmp_path / "ledger.db"), read_only=True)


def test_new_ledger_makes_its_directory(tmp_path):
    """Writing creates what leads to the ledger."""
    Ledger.open(str(tmp_path / "a" / "b" / "ledger.db")).close()
    assert (tmp_path / "a" / "b" / "ledger.db").is_file()


def test_directory_that_cannot_be_made_is_named(tmp_path):
    """A file in the way of the directory is a BadLedger."""
    (tmp_path / "a").touch()
    with pytest.raises(BadLedger, match=r"cannot create .*/a/b for the ledger"):
        Ledger.open(str(tmp_path / "a" / "b" / "ledger.db"))


def test_read_only_ledger_refuses_to_write(url):
    """A ledger opened for reading changes nothing."""
    with Ledger.open(url) as ledger:
        ledger.studies.put("digits", {}, cells={})
    with Ledger.open(url, read_only=True) as ledger:
        assert ledger.read_only
        with pytest.raises(BadLedger, match="read-only"):
            ledger.events.append("digits", "note")
        assert [study.study for study in ledger.studies.all()] == ["digits"]


@pytest.mark.postgres
def test_url_shows_no_password(postgres):
    """What is shown of a ledger's address has no password in it."""
    with Ledger.open(postgres.url("postgres").replace("postgres@", "postgres:secret@")) as ledger:
        assert "secret" not in ledger.url


@pytest.mark.fault
@pytest.mark.postgres
def test_a_server_that_falls_silent_is_given_up_within_half_a_minute(postgres):
    """A connection of the ledger's own probes an idle server and waits for no acknowledgement beyond that."""
    with (
        Network(str(postgres.home / ".s.PGSQL.5432")) as network,
        Ledger.open(f"postgresql://postgres@127.0.0.1:{network.port}/postgres") as ledger,
    ):
        connection = ledger._database._engine.raw_connection()
        number = connection.driver_connection.fileno()
        with socket.fromfd(number, socket.AF_INET, socket.SOCK_STREAM) as wire:
            asked = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
            found = {name: wire.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in asked}
            assert wire.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        connection.close()
    assert found["TCP_KEEPIDLE"] + found["TCP_KEEPCNT"] * found["TCP_KEEPINTVL"] <= 30
    assert 0 < found["TCP_USER_TIMEOUT"] <= 30_000


def test_locked_file_is_waited_for(tmp_path):
    """A write waits while another program holds the file, and then happens."""
    path = tmp_path / "ledger.db"
    with Ledger.open(str(path)) as ledger:
        other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        threading.Timer(0.3, lambda: other.execute("COMMIT")).start()
        ledger.studies.put("digits", {}, cells={})
        assert ledger.studies.get("digits") is not None
        other.close()


def test_readers_do_not_wait_for_a_writer(tmp_path):
    """While somebody writes, readers see the last commit at once."""
    path = tmp_path / "ledger.db"
    with Ledger.open(str(path)) as ledger:
        ledger.studies.put("digits", {}, cells={})
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        other.execute("UPDATE studies SET state = 'half done'")
        began = time.monotonic()
        assert ledger.studies.get("digits").state == "created"
        assert time.monotonic() - began < 10, "patience is a minute"
        other.close()


def test_removed_ledger_is_noticed(tmp_path):
    """A file removed under an open ledger is an error at the next call, not a write into nothing."""
    path = tmp_path / "ledger.db"
    with Ledger.open(str(path)) as ledger:
        ledger.studies.put("digits", {}, cells={})
        path.rename(tmp_path / "away.db")
        for act in (ledger.studies.all, lambda: ledger.events.append("digits", "note")):
            with pytest.raises(BadLedger, match="was removed; put it back"):
                act()
        assert not path.exists()
        (tmp_path / "away.db").rename(path)
        assert ledger.studies.get("digits") is not None


def test_replaced_ledger_is_followed(tmp_path):
    """An open ledger answers from the file that is there now; one that is no ledger is refused."""
    with Ledger.open(str(tmp_path / "other.db")) as other:
        other.studies.put("other", {}, cells={})
    (tmp_path / "text.db").write_text("no ledger " * 1000)
    path = tmp_path / "ledger.db"
    with Ledger.open(str(path)) as ledger:
        ledger.studies.put("digits", {}, cells={})
        for part in tmp_path.glob("ledger.db*"):  # its log goes with a ledger that is taken away
            part.unlink()
        (tmp_path / "other.db").replace(path)
        assert [study.study for study in ledger.studies.all()] == ["other"]
        (tmp_path / "text.db").replace(path)
        with pytest.raises(BadLedger, match="not a database"):
            ledger.studies.all()


@pytest.mark.fault
def test_full_disk_loses_no_committed_result(tmp_path, finish):
    """When the disk is full a commit is refused in one line; with space again the ledger goes on, nothing lost."""
    path = tmp_path / "ledger.db"
    with Ledger.open(str(path), patience_s=1.0) as ledger:
        ledger.studies.put("digits", {}, cells={})
        done = finish(ledger, 1)
    with Ledger.open(str(path), patience_s=1.0) as ledger:
        _limit_file_size(path.stat().st_size)
        try:
            with pytest.raises(BadLedger, match=r"cannot be used: .*; mend that"):
                _finish_many(finish, ledger)
        finally:
            _limit_file_size(None)
        finish(ledger, 99)
        assert ledger.trials.get(done.key).metrics["val_accuracy"] == 0.01
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
def test_restarted_server_loses_and_doubles_nothing(postgres, finish):
    """A server killed in the middle and started again: every call comes through, every trial is there once."""
    url = postgres.url("postgres")
    with Ledger.open(url, patience_s=60.0) as ledger:
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
            time.sleep(0.05)  # a loaded machine writes slowly
        stop.set()
        driver.join()
        assert failed == []
        rows = ledger.trials.page("restart", limit=None).rows
        assert sorted(acknowledged) == sorted(row.key for row in rows)
        assert {row.state for row in rows} == {"COMPLETE"}
        assert len(acknowledged) > 10
