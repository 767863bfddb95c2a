"""Tests of a ledger that appears, vanishes or changes while the service is running.

It may be replaced, locked or migrated.
"""

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nefstudy.ledger import Ledger
from nefstudy.ledger.sql import schema
from nefstudy.service.routes.events import events

from ..ledger.records import as_cells
from .availability import ROUTES, check_unavailable, make, statuses
from .client import TOKEN, Client, ClientOf
from .small_study import STUDY, fill_study, set_version

pytestmark = pytest.mark.usefixtures("check_every_time")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path where the ledger will be created."""
    return tmp_path / "ledger.db"


@pytest.fixture(params=["reading", "controlling"])
def waiting(request: pytest.FixtureRequest, path: Path, client_of: ClientOf) -> Iterator[Client]:
    """Yield a client of a service that starts before its ledger exists.

    The service is either read-only or has a token.
    """
    token = None if request.param == "reading" else TOKEN
    with Ledger.follow(str(path), read_only=token is None, timeout_s=0.1) as followed:
        yield client_of(followed, token=token, sent=token)


def test_before_the_first_study_there_are_no_studies(waiting, path):
    """While there is no ledger, the service returns empty lists and creates no file.

    A request for a study gets 404, and commands are rejected.
    """
    assert statuses(waiting) == [200, 404, 404, 200, 503]
    assert waiting.get("/v1/studies").json() == {"studies": []}
    assert waiting.get("/v1/neural-datasets").json() == {"neural_datasets": []}
    for route in (ROUTES[1], "/readyz"):
        assert "no studies yet" in waiting.get(route).json()["detail"]
    response = waiting.post(f"/v1/studies/{STUDY}:pause", headers={"Idempotency-Key": "0123456789"})
    assert response.status_code in (403, 404)
    assert list(path.parent.iterdir()) == []


def test_a_ledger_that_appears_is_found(waiting, path):
    """Once a ledger has been created, the running service serves it without a restart.

    An empty file counts as a missing ledger.
    """
    path.touch()
    assert statuses(waiting) == [200, 404, 404, 200, 503]
    make(path, STUDY)
    assert statuses(waiting) == [200] * 5


def test_a_replaced_ledger_is_not_served_from_the_cache(waiting, path, tmp_path):
    """If a ledger with the same study and number of events replaces the ledger, the new ledger is read."""
    make(path, STUDY)
    before = waiting.get(ROUTES[1]).json()
    with Ledger.open(str(tmp_path / "other.db")) as other:
        other.studies.put(STUDY, {}, cells=as_cells({("phase1", "digits8/siren"): 99}))
    for part in tmp_path.glob("ledger.db*"):
        part.unlink()
    (tmp_path / "other.db").replace(path)
    after = waiting.get(ROUTES[1]).json()
    assert (before["planned"], after["planned"]) == (4, 99)
    assert before["seq"] == after["seq"]


def test_a_newer_ledger_is_reported_and_not_changed(waiting, path):
    """If the ledger is migrated while being served, requests get 503 until it is restored.

    The error advises updating the service.
    """
    make(path, STUDY)
    assert statuses(waiting) == [200] * 5
    set_version(path, 99)
    check_unavailable(waiting, detail="update nefstudy")
    set_version(path, schema.VERSION)
    assert statuses(waiting) == [200] * 5


def test_an_older_ledger_is_not_migrated_by_the_service(waiting, path):
    """The service does not migrate an older ledger, with or without a token."""
    make(path, STUDY)
    set_version(path, 0)
    check_unavailable(waiting, detail="version")
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT version FROM ledger_schema").fetchone() == (0,)
    connection.close()


def test_a_locked_ledger_is_unavailable_while_locked(waiting, path):
    """While another process locks the ledger, requests get 503 within seconds.

    Afterwards they succeed.
    """
    make(path, STUDY)
    with sqlite3.connect(path, isolation_level=None) as holder:
        holder.execute("PRAGMA journal_mode=DELETE")
        holder.execute("BEGIN EXCLUSIVE")
        began = time.monotonic()
        check_unavailable(waiting, detail="temporarily unavailable")
        assert time.monotonic() - began < 10
        holder.execute("COMMIT")
    holder.close()
    assert statuses(waiting) == [200] * 5


@pytest.mark.parametrize("content", [b"no database, and long enough to be looked at" * 99, b"\0" * 8192])
def test_a_file_that_is_not_a_ledger_is_unavailable(waiting, path, content):
    """If the file at the ledger's address is not a ledger, requests get 503 and the file is not changed."""
    path.write_bytes(content)
    check_unavailable(waiting, detail="temporarily unavailable")
    assert path.read_bytes() == content


def test_a_foreign_database_is_not_changed(waiting, path):
    """If the ledger's address leads to another SQLite database, requests get 503 and the file is not changed."""
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE notes (text)")
    connection.close()
    before = path.read_bytes()
    check_unavailable(waiting, detail="temporarily unavailable")
    assert path.read_bytes() == before


def test_a_removed_ledger_is_unavailable_and_not_empty(waiting, path):
    """If the ledger is removed while being served, requests get 503 instead of an empty list of studies."""
    make(path, STUDY)
    assert statuses(waiting) == [200] * 5
    kept = path.read_bytes()
    for part in path.parent.glob("ledger.db*"):
        part.unlink()
    check_unavailable(waiting, detail="temporarily unavailable")
    path.write_bytes(kept)
    assert statuses(waiting) == [200] * 5


def test_a_stream_outlives_its_ledger(path, tmp_path):
    """While the ledger is missing, an open event stream waits.

    Once the ledger is replaced, the stream sends all events of the new ledger.
    """
    make(path, "other")
    with Ledger.open(str(tmp_path / "next.db")) as following:
        fill_study(following)
        expected = len(following.events.since(0, study=STUDY))

    async def listen(ledger: Ledger) -> bytes:
        stream = events(ledger, STUDY, after=ledger.events.last_seq(), poll_s=0.02)
        await anext(stream)
        pending = asyncio.ensure_future(anext(stream))
        for part in tmp_path.glob("ledger.db*"):
            part.unlink()
        await asyncio.sleep(0.2)
        assert not pending.done()
        (tmp_path / "next.db").replace(path)
        return await asyncio.wait_for(pending, 10)

    with Ledger.follow(str(path), timeout_s=0.1) as followed:
        assert asyncio.run(listen(followed)).count(b"id: ") == expected
