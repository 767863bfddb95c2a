"""Tests of commits whose response is lost.

The write is neither repeated nor reported as failed.
"""

import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from sqlalchemy import event, select
from sqlalchemy.engine import Engine

from nefstudy.errors import BadLedger
from nefstudy.ledger import Lease, Ledger, NeuralDatasetRow, Owner
from nefstudy.ledger.sql.schema import metadata

from ..ledger.records import as_cells, as_record, cell_of, make_trial
from ..present import present
from .network import Network

pytestmark = [pytest.mark.fault]

NOT_EQUAL = {"nonce", "owner", "since", "seen_monotonic", "at"}  # and all times


def remember(leases: list[Lease], lease: Lease) -> int:
    """Append a lease to a list and return the lease's epoch."""
    leases.append(lease)
    return lease.epoch


def life(ledger: Ledger) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield a name and a call for each kind of ledger write, in an order that a real study could follow."""
    yield "put_study", lambda: ledger.studies.put("s", {"a": 1}, cells=as_cells({("p", "c"): 2})).state
    taken: list[Lease] = []
    yield "acquire", lambda: remember(taken, ledger.leases.acquire("s", Owner.current()))
    (lease,) = taken
    yield "renew", lambda: ledger.leases.renew(lease)
    yield "set_state", lambda: ledger.studies.set_state("s", "paused", lease=lease)
    one, two, three, four, five = (make_trial(seed) for seed in range(5))
    at: dict[str, Any] = {"study": "s", "phase": "p", "lease": lease}

    def of(made, token: int) -> dict[str, Any]:
        return at | {"key": made.key, "token": token}

    yield "claim", lambda: ledger.trials.claim(**at, record=as_record(one))
    yield "started", lambda: ledger.trials.start(**of(one, 1))
    yield (
        "complete",
        lambda: ledger.trials.complete(**of(one, 1), metrics={"val_accuracy": 0.5}, curves={"a": [(1, 2.0)]}),
    )
    yield "reuse", lambda: ledger.trials.reuse("s", "other", record=as_record(one), lease=lease)
    yield "request", lambda: ledger.trials.request(**at, record=as_record(two))
    yield "retry", lambda: ledger.trials.retry(**of(two, 1), cause="oom", error="no memory")
    yield "claim again", lambda: ledger.trials.claim(**at, record=as_record(two))
    yield "fail", lambda: ledger.trials.fail(**of(two, 2), cause="bug", error="wrong")
    yield "claim to prune", lambda: ledger.trials.claim(**at, record=as_record(three))
    yield "prune", lambda: ledger.trials.prune(**of(three, 1), metrics={"val_accuracy": 0.1})
    yield "claim to interrupt", lambda: ledger.trials.claim(**at, record=as_record(four))
    yield "interrupt", lambda: ledger.trials.interrupt("s", lease=lease)
    yield "stop_cell", lambda: ledger.studies.stop_cell("s", "p", cell="c", reason="bad data", lease=lease)
    row = NeuralDatasetRow("d", "neural_datasets/d", rungs=(1,), bytes=1, fingerprint={})
    yield "put_neural_dataset", lambda: ledger.datasets.put(row, lease=lease)
    yield "put_neural_dataset again", lambda: ledger.datasets.put(replace(row, bytes=2), lease=lease)
    yield "append_command", lambda: ledger.commands.append("s", "stop", idempotency_key="k").id
    yield "settle_command", lambda: ledger.commands.settle(1, outcome="stopping", lease=lease)
    yield "append_event", lambda: ledger.events.append("s", "note", data={"n": 1})
    exports: list[Lease] = []
    yield "acquire_export", lambda: remember(exports, ledger.leases.acquire_export(Owner.current()))
    (export,) = exports
    entries: list[Any] = []

    def take() -> int:
        entries.extend(ledger.outbox.take(2, lease=export))
        return len(entries)

    yield "take", take
    yield "mark", lambda: ledger.outbox.mark_exported(entries[:1], lease=export)
    yield "mark_failed", lambda: ledger.outbox.mark_failed(entries[1], error="refused", lease=export)
    yield "refill_outbox", lambda: ledger.outbox.refill("s")
    yield "retry_outbox", ledger.outbox.retry
    yield "release export", lambda: ledger.leases.release(export)
    yield "claim at the end", lambda: ledger.trials.claim(**at, record=as_record(five))
    yield "release", lambda: ledger.leases.release(lease, state="stopped")


def contents(ledger: Ledger) -> dict[str, list[dict[str, object]]]:
    """Return every row of every table of a ledger, without times and process names."""

    def read(connection):
        return {
            table.name: [
                {k: v for k, v in row.items() if k not in NOT_EQUAL and not k.endswith("_at")}
                for row in connection.execute(select(table).order_by(*table.primary_key.columns)).mappings()
            ]
            for table in metadata.sorted_tables
        }

    return ledger._database.read(read)  # no public method shows all of it


def database(postgres, name: str) -> None:
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name}")
        connection.execute(f"CREATE DATABASE {name}")


@pytest.mark.postgres
def test_a_lost_answer_changes_neither_the_ledger_nor_the_result(postgres):
    """If the response to a write is lost, the write returns and stores the same values as without the fault.

    This holds for every kind of write.
    """
    for name in ("answered", "unanswered"):
        database(postgres, name)
    with Ledger.open(postgres.url("answered")) as ledger:
        results = [(name, act()) for name, act in life(ledger)]
        expected = contents(ledger)
    with Network(str(postgres.home / ".s.PGSQL.5432")) as network:
        url = f"postgresql://postgres@127.0.0.1:{network.port}/unanswered"
        with Ledger.open(url, timeout_s=60.0) as ledger:
            unanswered = []
            for name, act in life(ledger):
                network.lost_commits = 1
                unanswered.append((name, act()))
                assert not network.lost_commits, f"{name} committed"
            assert unanswered == results
            assert contents(ledger) == expected


@pytest.mark.postgres
def test_a_write_that_did_not_land_is_retried(postgres):
    """If the connection is cut before a write is committed, the write is applied exactly once."""
    database(postgres, "cut")
    with Network(str(postgres.home / ".s.PGSQL.5432")) as network:
        url = f"postgresql://postgres@127.0.0.1:{network.port}/cut"
        with Ledger.open(url, timeout_s=60.0) as ledger:
            ledger.studies.put("s", {}, cells={})
            cuts: list[str] = []

            def cut(connection, cursor, statement, *_):
                if "INSERT INTO events" in statement and not cuts:
                    cuts.append(statement)
                    network.cut()

            event.listen(Engine, "before_cursor_execute", cut)
            try:
                assert ledger.events.append("s", "note") == ledger.events.last_seq()
            finally:
                event.remove(Engine, "before_cursor_execute", cut)
            assert len(cuts) == 1
            assert [row.kind for row in ledger.events.since(0)] == ["study", "note"]


@pytest.mark.postgres
def test_a_transaction_number_that_a_crash_frees_proves_nothing(postgres):
    """A write is applied even if the server crashes before its commit and then reuses its transaction number."""
    database(postgres, "crashed")
    url = postgres.url("crashed")
    with Ledger.open(url, timeout_s=60.0) as ledger:
        ledger.studies.put("s", {}, cells={})
        crashed: list[int] = []

        def crash(connection):
            if not crashed:
                number, pid = connection.exec_driver_sql("SELECT txid_current(), pg_backend_pid()").one()
                crashed.append(number)
                os.kill(pid, signal.SIGKILL)
                use_up(url, number)

        event.listen(Engine, "commit", crash)
        try:
            ledger.events.append("s", "note")
        finally:
            event.remove(Engine, "commit", crash)
        assert crashed
        assert [row.kind for row in ledger.events.since(0)] == ["study", "note"]


def use_up(url: str, number: int) -> None:
    """Commit transactions on a restarting server until one of them reaches the given transaction number."""
    deadline = time.monotonic() + 60.0
    while time.monotonic() < deadline:
        try:
            with psycopg.connect(url) as connection:
                (reached,) = present(connection.execute("SELECT txid_current()").fetchone())
                connection.execute("CREATE TEMPORARY TABLE used (n int)")
            if reached >= number:
                return
        except psycopg.OperationalError:
            time.sleep(0.05)
    raise AssertionError("the server did not come back")


@pytest.mark.postgres
def test_answered_commits_leave_one_signature(postgres):
    """The ledger keeps the signature of only the last commit."""
    database(postgres, "tidy")
    with Ledger.open(postgres.url("tidy")) as ledger:
        ledger.studies.put("s", {}, cells={})
        for _ in range(5):
            ledger.events.append("s", "note")
        assert len(contents(ledger)["commits"]) == 1


def test_an_error_after_a_landed_commit_of_sqlite_is_raised_and_the_next_call_sees_the_commit(tmp_path):
    """If SQLite reports an error although a write was committed, the error is raised.

    The next call detects that the commit was made.
    """
    with Ledger.open(str(tmp_path / "ledger.db")) as ledger:
        ledger.studies.put("s", {}, cells={})
        lease = ledger.leases.acquire("s", Owner.current())
        token = ledger.trials.claim("s", "p", record=as_record(make_trial()), lease=lease)
        failure: dict[str, Any] = {"key": make_trial().key, "token": token, "lease": lease}
        failure |= {"cause": "oom", "error": "no memory"}

        def lose(connection):
            connection.connection.dbapi_connection.commit()
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error

        event.listen(Engine, "commit", lose)
        try:
            with pytest.raises((BadLedger, sqlite3.OperationalError)):
                ledger.trials.retry("s", "p", **failure)
        finally:
            event.remove(Engine, "commit", lose)
        ledger.trials.retry("s", "p", **failure)
        assert present(ledger.trials.get(make_trial().key)).state == "INTERRUPTED"
        assert ledger.trials.retries("s") == {("p", cell_of(make_trial()), "oom"): 1}
