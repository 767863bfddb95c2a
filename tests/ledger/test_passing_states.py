"""States of a database that pass, as in a failover: waited for, within bounds."""

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
from nefstudy.ledger.database import WRITER


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("begin", "end"),
    [
        ("ALTER DATABASE {} SET default_transaction_read_only = on", "ALTER DATABASE {} RESET ALL"),
        ("ALTER DATABASE {} SET lock_timeout = '50ms'", "ALTER DATABASE {} RESET ALL"),
    ],
    ids=["a read-only standby", "a lock that is held"],
)
def test_states_of_a_failover_are_waited_for(postgres, finish, begin, end):
    """A standby that refuses writes, or a lock timeout: the write waits and happens, as for a restart."""
    name = f"failover{len(begin)}"
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        with Ledger.open(postgres.url(name), patience_s=60.0) as ledger:
            ledger.studies.put("digits", {}, cells={})
            admin.execute(begin.format(name))
            ledger._database._engine.dispose()  # its next connections have the new setting, as after a failover
            with psycopg.connect(postgres.url(name)) as other:
                other.execute("SELECT pg_advisory_xact_lock(%s)", [WRITER])
                done: list[str] = []
                writer = threading.Thread(target=lambda: done.append(finish(ledger, 1).key))
                writer.start()
                writer.join(0.5)
                assert writer.is_alive(), "or nothing was refused"
                admin.execute(end.format(name))
            writer.join()
            assert [row.key for row in ledger.trials.page("digits").rows] == done


@pytest.mark.postgres
def test_a_state_that_stays_is_one_line_at_the_end_of_patience(postgres):
    """A server that remains read-only: BadLedger with the server's words."""
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as admin:
        admin.execute("CREATE DATABASE standby")
        with Ledger.open(postgres.url("standby"), patience_s=0.5) as ledger:
            admin.execute("ALTER DATABASE standby SET default_transaction_read_only = on")
            ledger._database._engine.dispose()
            with pytest.raises(
                BadLedger, match=r"cannot be used: cannot execute .* in a read-only transaction"
            ) as caught:
                ledger.studies.put("digits", {}, cells={})
            assert "\n" not in str(caught.value)


@pytest.mark.parametrize("code", [sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_LOCKED])
def test_a_file_on_a_failing_mount_is_waited_for(tmp_path, code, monkeypatch):
    """An I/O error that passes costs a pause; the file is not taken for removed while it cannot be looked at."""
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
    """What cannot be opened at the start is a wrong path, not a passing state."""
    (tmp_path / "folder.db").mkdir()
    began = time.monotonic()
    with pytest.raises(BadLedger):
        Ledger.open(str(tmp_path / "folder.db"), patience_s=30.0)
    assert time.monotonic() - began < 20, "patience is half a minute"
