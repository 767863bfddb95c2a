"""Commits that land although their answer is lost: the write is neither repeated nor reported as failed."""

import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import psycopg
import pytest
from sqlalchemy import event, select
from sqlalchemy.engine import Engine

from nefstudy.errors import BadLedger
from nefstudy.ledger import Ledger, NeuralDatasetRow, Owner
from nefstudy.ledger.schema import metadata

from ..ledger.conftest import trial  # noqa: F401  # a fixture
from ..ledger.records import as_cells, as_record, cell_of
from .network import Network

pytestmark = [pytest.mark.fault]

NOT_EQUAL = {"nonce", "owner", "since", "seen_monotonic", "at"}  # and every time


def life(ledger: Ledger, make: Callable) -> Iterator[tuple[str, Callable[[], object]]]:
    """Every kind of write, in an order in which each is allowed."""
    yield "put_study", lambda: ledger.studies.put("s", {"a": 1}, cells=as_cells({("p", "c"): 2})).state
    taken = []
    yield "acquire", lambda: taken.append(ledger.leases.acquire("s", Owner.here())) or taken[0].epoch
    (lease,) = taken
    yield "renew", lambda: ledger.leases.renew(lease)
    yield "set_state", lambda: ledger.studies.set_state("s", "paused", lease=lease)
    one, two, three, four, five = (make(seed) for seed in range(5))
    at = {"study": "s", "phase": "p", "lease": lease}

    def of(made, token: int) -> dict[str, object]:
        return at | {"key": made.key, "token": token}

    yield "claim", lambda: ledger.trials.claim(**at, record=as_record(one))
    yield "started", lambda: ledger.trials.start(**of(one, 1))
    yield (
        "complete",
        lambda: ledger.trials.complete(**of(one, 1), metrics={"val_accuracy": 0.5}, curves={"a": [(1, 2.0)]}),
    )
    yield "reuse", lambda: ledger.trials.reuse("s", "other", record=as_record(one), lease=lease)
    yield "request", lambda: ledger.trials.request(**at, record=as_record(two))
    yield "put_back", lambda: ledger.trials.retry(**of(two, 1), cause="oom", error="no memory")
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
    exports = []
    yield "acquire_export", lambda: exports.append(ledger.leases.acquire_export(Owner.here())) or exports[0].epoch
    (export,) = exports
    entries = []
    yield "take", lambda: entries.extend(ledger.outbox.take(2, lease=export)) or len(entries)
    yield "mark", lambda: ledger.outbox.mark(entries[:1], lease=export)
    yield "mark_failed", lambda: ledger.outbox.mark_failed(entries[1], error="refused", lease=export)
    yield "refill_outbox", lambda: ledger.outbox.refill("s")
    yield "retry_outbox", ledger.outbox.retry
    yield "release export", lambda: ledger.leases.release(export)
    yield "claim at the end", lambda: ledger.trials.claim(**at, record=as_record(five))
    yield "release", lambda: ledger.leases.release(lease, state="stopped")


def contents(ledger: Ledger) -> dict[str, list[dict[str, object]]]:
    """Every row of every table but for times and names of processes."""

    def read(connection):
        return {
            table.name: [
                {k: v for k, v in row.items() if k not in NOT_EQUAL and not k.endswith("_at")}
                for row in connection.execute(select(table).order_by(*table.primary_key.columns)).mappings()
            ]
            for table in metadata.sorted_tables
        }

    return ledger._database.read(read)  # what no public question shows


def database(postgres, name: str) -> None:
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name}")
        connection.execute(f"CREATE DATABASE {name}")


@pytest.mark.postgres
def test_a_lost_answer_changes_neither_the_ledger_nor_the_result(postgres, trial):  # noqa: F811
    """Every kind of write whose commit lands unheard returns, and leaves, what it would have without the fault."""
    for name in ("heard", "unheard"):
        database(postgres, name)
    with Ledger.open(postgres.url("heard")) as ledger:
        heard = [(name, act()) for name, act in life(ledger, trial)]
        expected = contents(ledger)
    with Network(str(postgres.home / ".s.PGSQL.5432")) as network:
        url = f"postgresql://postgres@127.0.0.1:{network.port}/unheard"
        with Ledger.open(url, patience_s=60.0) as ledger:
            found = []
            for name, act in life(ledger, trial):
                network.lost_commits = 1
                found.append((name, act()))
                assert not network.lost_commits, f"{name} committed"
            assert found == heard
            assert contents(ledger) == expected


@pytest.mark.postgres
def test_a_write_that_did_not_land_is_made(postgres, trial):  # noqa: F811
    """The twin: a connection that is cut before the commit costs nothing either."""
    database(postgres, "cut")
    with Network(str(postgres.home / ".s.PGSQL.5432")) as network:
        url = f"postgresql://postgres@127.0.0.1:{network.port}/cut"
        with Ledger.open(url, patience_s=60.0) as ledger:
            ledger.studies.put("s", {}, cells={})
            cuts = []

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
    """The server crashes before the commit, and another transaction lands under the same number: the write is made."""
    database(postgres, "crashed")
    url = postgres.url("crashed")
    with Ledger.open(url, patience_s=60.0) as ledger:
        ledger.studies.put("s", {}, cells={})
        crashed = []

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
    """Commit transactions on a server that restarts until one has this number or a later one."""
    deadline = time.monotonic() + 60.0
    while time.monotonic() < deadline:
        try:
            with psycopg.connect(url) as connection:
                (reached,) = connection.execute("SELECT txid_current()").fetchone()
                connection.execute("CREATE TEMPORARY TABLE used (n int)")
            if reached >= number:
                return
        except psycopg.OperationalError:
            time.sleep(0.05)
    raise AssertionError("the server did not come back")


@pytest.mark.postgres
def test_heard_answers_leave_one_signature_behind(postgres):
    """Signatures of commits do not pile up."""
    database(postgres, "tidy")
    with Ledger.open(postgres.url("tidy")) as ledger:
        ledger.studies.put("s", {}, cells={})
        for _ in range(5):
            ledger.events.append("s", "note")
        assert len(contents(ledger)["commits"]) == 1


def test_an_error_after_a_landed_commit_of_sqlite_ends_in_one_line_and_the_next_call_finds_it(tmp_path, trial):  # noqa: F811
    """SQLite's commit is not repeated: the driver ends with the error, and the next one reads what landed."""
    with Ledger.open(str(tmp_path / "ledger.db")) as ledger:
        ledger.studies.put("s", {}, cells={})
        lease = ledger.leases.acquire("s", Owner.here())
        token = ledger.trials.claim("s", "p", record=as_record(trial()), lease=lease)
        said = {"key": trial().key, "token": token, "cause": "oom", "error": "no memory", "lease": lease}

        def lose(connection):
            connection.connection.dbapi_connection.commit()
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error

        event.listen(Engine, "commit", lose)
        try:
            with pytest.raises((BadLedger, sqlite3.OperationalError)):
                ledger.trials.retry("s", "p", **said)
        finally:
            event.remove(Engine, "commit", lose)
        ledger.trials.retry("s", "p", **said)
        assert ledger.trials.get(trial().key).state == "INTERRUPTED"
        assert ledger.trials.retries("s") == {("p", cell_of(trial()), "oom"): 1}
