"""Tests that calls are retried for a limited time after transient database errors."""

import errno
import sqlite3
import threading
import time
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from nefstudy.errors import BadLedger
from nefstudy.ledger import Ledger
from nefstudy.ledger.sql.database import WRITER


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("begin", "end"),
    [
        ("ALTER DATABASE {} SET default_transaction_read_only = on", "ALTER DATABASE {} RESET ALL"),
        ("ALTER DATABASE {} SET lock_timeout = '50ms'", "ALTER DATABASE {} RESET ALL"),
    ],
    ids=["a read-only standby", "a lock that is held"],
)
def test_write_is_retried_during_a_failover(postgres, finish, begin, end):
    """While the server is a read-only standby or a lock is held, a write is retried; after that, it succeeds."""
    name = f"failover{len(begin)}"
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        with Ledger.open(postgres.url(name), timeout_s=60.0) as ledger:
            ledger.studies.put("digits", {}, cells={})
            admin.execute(begin.format(name))
            ledger._database._engine.dispose()  # new connections get the changed setting, as after a failover
            with psycopg.connect(postgres.url(name)) as other:
                other.execute("SELECT pg_advisory_xact_lock(%s)", [WRITER])
                done: list[str] = []
                writer = threading.Thread(target=lambda: done.append(finish(ledger, 1).key))
                writer.start()
                writer.join(0.5)
                assert writer.is_alive(), "otherwise no write was refused"
                admin.execute(end.format(name))
            writer.join()
            assert [row.key for row in ledger.trials.page("digits").rows] == done


@pytest.mark.postgres
def test_permanent_error_raises_after_the_timeout(postgres):
    """If a server stays read-only, BadLedger is raised after the timeout, with the server's message."""
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as admin:
        admin.execute("CREATE DATABASE standby")
        with Ledger.open(postgres.url("standby"), timeout_s=0.5) as ledger:
            admin.execute("ALTER DATABASE standby SET default_transaction_read_only = on")
            ledger._database._engine.dispose()
            with pytest.raises(BadLedger, match="read-only transaction") as caught:
                ledger.studies.put("digits", {}, cells={})
            assert "\n" not in str(caught.value)


@pytest.mark.parametrize("code", [sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_LOCKED])
def test_file_on_a_failing_mount_is_retried(tmp_path, code, monkeypatch):
    """After a transient I/O error of SQLite, the call to the ledger is retried.

    A file that cannot be stat'ed does not count as removed.
    """
    with Ledger.open(str(tmp_path / "ledger.db")) as ledger:
        fails = [True, True]

        def act(connection):
            if fails:
                fails.pop()
                error = sqlite3.OperationalError("disk I/O error")
                error.sqlite_errorcode = code | (1 << 8)  # an extended code
                raise OperationalError("INSERT", {}, error)
            return connection.execute(text("SELECT 7")).scalar_one()

        def stale(*_, **__):
            raise OSError(errno.ESTALE, "Stale file handle")

        with monkeypatch.context() as patch:
            patch.setattr(Path, "stat", stale)
            assert ledger._database.read(act) == 7
        assert fails == []


def test_a_path_that_never_opened_is_refused_at_once(tmp_path):
    """If the path of a ledger cannot be opened at the start, the error is raised at once, without retries.

    Such a path is probably wrong, rather than temporarily unavailable.
    """
    (tmp_path / "folder.db").mkdir()
    began = time.monotonic()
    with pytest.raises(BadLedger):
        Ledger.open(str(tmp_path / "folder.db"), timeout_s=30.0)
    assert time.monotonic() - began < 20, "the timeout is half a minute"
