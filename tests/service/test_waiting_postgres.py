"""Tests of a PostgreSQL ledger that appears, vanishes or changes while the service is running.

It may be replaced or migrated, or lose its server.
"""

import asyncio
import signal
from collections.abc import Callable, Iterator

import psycopg
import pytest

from nefstudy.ledger import Ledger
from nefstudy.ledger.sql import schema
from nefstudy.service.routes.events import events

from ..ledger.records import as_cells
from ..plugins.postgres import Postgres
from .availability import ROUTES, check_unavailable, make, statuses
from .client import TOKEN, Client, ClientOf
from .small_study import STUDY, fill_study

pytestmark = [pytest.mark.postgres, pytest.mark.slow, pytest.mark.usefixtures("check_every_time")]

DATABASE = "waiting"
UNAVAILABLE = "temporarily unavailable"


@pytest.fixture
def sql(postgres: Postgres) -> Callable[..., None]:
    """Return a function that runs statements as the server's owner.

    They run in the ledger's database unless another database is given.
    """

    def run(*statements: str, database: str = DATABASE) -> None:
        with psycopg.connect(postgres.url(database), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    return run


@pytest.fixture
def url(postgres: Postgres, sql: Callable[..., None]) -> Iterator[str]:
    """Yield the address of an empty database."""
    sql(f"CREATE DATABASE {DATABASE}", database="postgres")
    yield postgres.url(DATABASE)
    sql(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)", database="postgres")


@pytest.fixture
def waiting(url: str, client_of: ClientOf) -> Iterator[Client]:
    """Yield a client with a token for a service that starts before its ledger exists."""
    with Ledger.follow(url, read_only=False, timeout_s=0.1) as followed:
        yield client_of(followed, token=TOKEN, sent=TOKEN)


def drop_tables(sql: Callable[..., None]) -> None:
    """Drop every table of the database, as one does before restoring a dump."""
    sql("DROP SCHEMA public CASCADE", "CREATE SCHEMA public")


def test_a_database_that_appears_and_then_its_ledger(waiting, url, sql):
    """A database and its ledger are found when they appear, without a restart.

    While the database is missing, requests get 503. While it is empty, there are no studies, and no tables are
    created.
    """
    sql(f"DROP DATABASE {DATABASE}", database="postgres")
    check_unavailable(waiting, detail=UNAVAILABLE)
    sql(f"CREATE DATABASE {DATABASE}", database="postgres")
    assert statuses(waiting) == [200, 404, 404, 200, 503]
    assert waiting.get("/v1/studies").json() == {"studies": []}
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)
    make(url, STUDY)
    assert statuses(waiting) == [200] * 5


def test_a_replaced_ledger_is_not_served_from_the_cache(waiting, url, sql):
    """If a ledger with the same study and number of events is restored, the new ledger is read."""
    make(url, STUDY)
    before = waiting.get(ROUTES[1]).json()
    drop_tables(sql)
    with Ledger.open(url) as other:
        other.studies.put(STUDY, {}, cells=as_cells({("phase1", "digits8/siren"): 99}))
    after = waiting.get(ROUTES[1]).json()
    assert (before["planned"], after["planned"]) == (4, 99)
    assert before["seq"] == after["seq"]


def test_a_removed_ledger_is_unavailable_and_not_empty(waiting, url, sql):
    """Once the tables are dropped, requests get 503 instead of an empty list of studies."""
    make(url, STUDY)
    assert statuses(waiting) == [200] * 5
    drop_tables(sql)
    check_unavailable(waiting, detail=UNAVAILABLE)
    make(url, STUDY)
    assert statuses(waiting) == [200] * 5


def test_a_newer_ledger_is_reported(waiting, url, sql):
    """If the ledger is migrated while being served, requests get 503 until it is restored.

    The error advises updating the service.
    """
    make(url, STUDY)
    assert statuses(waiting) == [200] * 5
    sql("UPDATE ledger_schema SET version = 99")
    check_unavailable(waiting, detail="update nefstudy")
    sql(f"UPDATE ledger_schema SET version = {schema.VERSION}")
    assert statuses(waiting) == [200] * 5


def test_a_dead_server_is_unavailable_until_it_restarts(waiting, url, postgres):
    """If the database server is killed, requests get 503 until it is back.

    They then succeed without a restart of the service.
    """
    make(url, STUDY)
    assert statuses(waiting) == [200] * 5
    postgres.stop(signal.SIGQUIT)
    try:
        check_unavailable(waiting, detail=UNAVAILABLE)
    finally:
        postgres.start()
    assert statuses(waiting) == [200] * 5


def test_a_foreign_database_is_not_changed(waiting, url, sql):
    """If the database has other tables, requests get 503 and no tables are created."""
    sql("CREATE TABLE notes (text text)")
    check_unavailable(waiting, detail=UNAVAILABLE)
    with psycopg.connect(url) as connection:
        names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    assert names == [("notes",)]


def test_a_stream_outlives_its_ledger(url, sql):
    """While the database is empty, an open event stream waits.

    Once the database is filled, the stream sends the ledger's events.
    """
    make(url, "other")

    async def listen(ledger: Ledger) -> tuple[bytes, int]:
        stream = events(ledger, STUDY, after=ledger.events.last_seq(), poll_s=0.02)
        await anext(stream)
        pending = asyncio.ensure_future(anext(stream))
        drop_tables(sql)
        await asyncio.sleep(0.2)
        assert not pending.done()
        with Ledger.open(url) as following:
            fill_study(following)
            expected = len(following.events.since(0, study=STUDY))
        received = await asyncio.wait_for(pending, 10)
        while received.count(b"id: ") < expected:
            received += await asyncio.wait_for(anext(stream), 10)
        return received, expected

    with Ledger.follow(url, timeout_s=0.1) as followed:
        received, expected = asyncio.run(listen(followed))
        assert received.count(b"id: ") == expected
