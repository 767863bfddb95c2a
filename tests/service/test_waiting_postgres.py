"""A ledger on PostgreSQL is somebody else's too: it comes late, goes, is swapped or migrated, and its server dies."""

import asyncio
import signal
from collections.abc import Callable, Iterator

import psycopg
import pytest

from nefstudy.ledger import Ledger, schema
from nefstudy.service.events import events

from ..ledger.conftest import Postgres, postgres  # noqa: F401  # a fixture
from ..ledger.records import as_cells
from .conftest import STUDY, TOKEN, Client, ClientOf, fill_study
from .test_waiting import ROUTES, away, every_look_counts, make, statuses  # noqa: F401  # a fixture

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

DATABASE = "waiting"
AWAY = "cannot be read at the moment"


@pytest.fixture
def sql(postgres: Postgres) -> Callable[..., None]:  # noqa: F811
    """Runs statements as the owner of the server, in the ledger's database or another."""

    def run(*statements: str, database: str = DATABASE) -> None:
        with psycopg.connect(postgres.url(database), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    return run


@pytest.fixture
def url(postgres: Postgres, sql: Callable[..., None]) -> Iterator[str]:  # noqa: F811
    """The address of an empty database."""
    sql(f"CREATE DATABASE {DATABASE}", database="postgres")
    yield postgres.url(DATABASE)
    sql(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)", database="postgres")


@pytest.fixture
def waiting(url: str, client_of: ClientOf) -> Iterator[Client]:
    """A client of a service that was started before its ledger, which it may control."""
    with Ledger.follow(url, read_only=False, patience_s=0.1) as followed:
        yield client_of(followed, token=TOKEN, sent=TOKEN)


def emptied(sql: Callable[..., None]) -> None:
    """Takes every table out of the database, as before a dump is restored."""
    sql("DROP SCHEMA public CASCADE", "CREATE SCHEMA public")


def test_a_database_that_appears_and_then_its_ledger(waiting, url, sql):
    """No database is a ledger that is away; an empty one has no studies yet, and gets no table; a ledger is found."""
    sql(f"DROP DATABASE {DATABASE}", database="postgres")
    away(waiting, saying=AWAY)
    sql(f"CREATE DATABASE {DATABASE}", database="postgres")
    assert statuses(waiting) == [200, 404, 404, 200, 503]
    assert waiting.get("/v1/studies").json() == {"studies": []}
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)
    make(url, STUDY)
    assert statuses(waiting) == [200] * 5


def test_a_swapped_ledger_answers_with_its_own(waiting, url, sql):
    """Another ledger restored in its place, with the same study and as many events, is not answered from memory."""
    make(url, STUDY)
    before = waiting.get(ROUTES[1]).json()
    emptied(sql)
    with Ledger.open(url) as other:
        other.studies.put(STUDY, {}, cells=as_cells({("phase1", "digits8/siren"): 99}))
    after = waiting.get(ROUTES[1]).json()
    assert (before["planned"], after["planned"]) == (4, 99)
    assert before["seq"] == after["seq"]


def test_a_ledger_that_was_removed_is_away_and_not_empty(waiting, url, sql):
    """Tables that were there and are gone are 503: an empty list would say that the studies never were."""
    make(url, STUDY)
    assert statuses(waiting) == [200] * 5
    emptied(sql)
    away(waiting, saying=AWAY)
    make(url, STUDY)
    assert statuses(waiting) == [200] * 5


def test_a_newer_ledger_is_named_as_such(waiting, url, sql):
    """Migrated under a running service: 503 says to update; going back is noticed."""
    make(url, STUDY)
    assert statuses(waiting) == [200] * 5
    sql("UPDATE ledger_schema SET version = 99")
    away(waiting, saying="update nefstudy")
    sql(f"UPDATE ledger_schema SET version = {schema.VERSION}")
    assert statuses(waiting) == [200] * 5


def test_a_server_that_dies_is_away_until_it_is_back(waiting, url, postgres):  # noqa: F811
    """A server killed under open connections: 503; started again, everything answers without a restart."""
    make(url, STUDY)
    assert statuses(waiting) == [200] * 5
    postgres.stop(signal.SIGQUIT)
    try:
        away(waiting, saying=AWAY)
    finally:
        postgres.start()
    assert statuses(waiting) == [200] * 5


def test_somebody_elses_database_is_not_touched(waiting, url, sql):
    """A database with other tables is refused and keeps them alone."""
    sql("CREATE TABLE notes (text text)")
    away(waiting, saying=AWAY)
    with psycopg.connect(url) as connection:
        names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    assert names == [("notes",)]


def test_a_stream_outlives_its_ledger(url, sql):
    """Emptied, the stream waits; filled anew, it tells the events of the new ledger from its first."""
    make(url, "other")

    async def listen(ledger: Ledger) -> tuple[bytes, int]:
        stream = events(ledger, STUDY, after=ledger.events.last_seq(), poll_s=0.02)
        await anext(stream)
        soon = asyncio.ensure_future(anext(stream))
        emptied(sql)
        await asyncio.sleep(0.2)
        assert not soon.done()
        with Ledger.open(url) as following:
            fill_study(following)
            expected = len(following.events.since(0, study=STUDY))
        told = await asyncio.wait_for(soon, 10)
        while told.count(b"id: ") < expected:
            told += await asyncio.wait_for(anext(stream), 10)
        return told, expected

    with Ledger.follow(url, patience_s=0.1) as followed:
        told, expected = asyncio.run(listen(followed))
        assert told.count(b"id: ") == expected
