"""The ledger is somebody else's: it comes late, goes, is swapped, locked or migrated, and each has its answer."""

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nefstudy.ledger import Ledger, database, schema
from nefstudy.service import snapshot
from nefstudy.service.events import events

from ..ledger.records import as_cells
from .conftest import STUDY, TOKEN, Client, ClientOf, fill_study, set_version

ROUTES = ("/v1/studies", f"/v1/studies/{STUDY}/progress", f"/v1/studies/{STUDY}/trials", "/metrics", "/readyz")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the ledger will be."""
    return tmp_path / "ledger.db"


@pytest.fixture(params=["reading", "controlling"])
def waiting(request: pytest.FixtureRequest, path: Path, client_of: ClientOf) -> Iterator[Client]:
    """A client of a service that was started before its ledger, which it may only read, or may control."""
    token = None if request.param == "reading" else TOKEN
    with Ledger.follow(str(path), read_only=token is None, patience_s=0.1) as followed:
        yield client_of(followed, token=token, sent=token)


@pytest.fixture(autouse=True)
def every_look_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The version is looked at in each answer, not every other second, and no answer is fresh for a while."""
    monkeypatch.setattr(database, "CHECK_S", 0.0)
    monkeypatch.setattr(snapshot, "FRESH_S", 0.0)
    monkeypatch.setattr(snapshot, "SHARE", 0)


def make(path: Path | str, study: str) -> None:
    """A ledger with one empty study, closed and whole."""
    with Ledger.open(str(path)) as ledger:
        ledger.studies.put(study, {}, cells=as_cells({("phase1", "digits8/siren"): 4}))


def statuses(client: Client) -> list[int]:
    """The status of each route."""
    return [client.get(route).status_code for route in ROUTES]


def away(client: Client, *, saying: str) -> None:
    """Every route says 503 as a problem, and health stays."""
    for route in ROUTES:
        answer = client.get(route)
        assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json"), route
        assert saying in answer.json()["detail"]
        assert answer.headers["retry-after"]
    assert client.get("/healthz").status_code == 200


def test_before_the_first_study_there_are_no_studies(waiting, path):
    """No ledger: empty lists, 404 for one study, not ready; a wish is refused; and no file is made."""
    assert statuses(waiting) == [200, 404, 404, 200, 503]
    assert waiting.get("/v1/studies").json() == {"studies": []}
    assert waiting.get("/v1/neural-datasets").json() == {"neural_datasets": []}
    for route in (ROUTES[1], "/readyz"):
        assert "no studies yet" in waiting.get(route).json()["detail"]
    wish = waiting.post(f"/v1/studies/{STUDY}:pause", headers={"Idempotency-Key": "0123456789"})
    assert wish.status_code in (403, 404)
    assert list(path.parent.iterdir()) == []


def test_a_ledger_that_appears_is_found(waiting, path):
    """Half-made it is as good as none; made, everything answers without a restart."""
    path.touch()
    assert statuses(waiting) == [200, 404, 404, 200, 503]
    make(path, STUDY)
    assert statuses(waiting) == [200] * 5


def test_a_swapped_ledger_answers_with_its_own(waiting, path, tmp_path):
    """Another ledger in its place, with the same study and as many events, is not answered from memory."""
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


def test_a_newer_ledger_is_named_as_such_and_left_alone(waiting, path):
    """Migrated under a running service: 503 says to update; the file is not touched, and going back is noticed."""
    make(path, STUDY)
    assert statuses(waiting) == [200] * 5
    set_version(path, 99)
    away(waiting, saying="update nefstudy")
    set_version(path, schema.VERSION)
    assert statuses(waiting) == [200] * 5


def test_an_older_ledger_is_not_migrated_by_the_service(waiting, path):
    """Its driver brings a ledger up; one who only looks, or asks, does not."""
    make(path, STUDY)
    set_version(path, 0)
    away(waiting, saying="version")
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT version FROM ledger_schema").fetchone() == (0,)
    connection.close()


def test_a_locked_ledger_is_away_for_as_long(waiting, path):
    """While somebody holds the file for himself: 503 soon; afterwards everything answers."""
    make(path, STUDY)
    with sqlite3.connect(path, isolation_level=None) as greedy:
        greedy.execute("PRAGMA journal_mode=DELETE")
        greedy.execute("BEGIN EXCLUSIVE")
        began = time.monotonic()
        away(waiting, saying="cannot be read at the moment")
        assert time.monotonic() - began < 10
        greedy.execute("COMMIT")
    greedy.close()
    assert statuses(waiting) == [200] * 5


@pytest.mark.parametrize("content", [b"no database, and long enough to be looked at" * 99, b"\0" * 8192])
def test_what_is_no_ledger_is_away(waiting, path, content):
    """A file of something else is 503, whatever it is, and stays as it was."""
    path.write_bytes(content)
    away(waiting, saying="cannot be read at the moment")
    assert path.read_bytes() == content


def test_somebody_elses_database_is_not_touched(waiting, path):
    """A SQLite file with other tables is refused and keeps its journal mode."""
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE notes (text)")
    connection.close()
    before = path.read_bytes()
    away(waiting, saying="cannot be read at the moment")
    assert path.read_bytes() == before


def test_a_ledger_that_was_removed_is_away_and_not_empty(waiting, path):
    """What was there and is gone is 503: an empty list would say that the studies never were."""
    make(path, STUDY)
    assert statuses(waiting) == [200] * 5
    kept = path.read_bytes()
    for part in path.parent.glob("ledger.db*"):
        part.unlink()
    away(waiting, saying="cannot be read at the moment")
    path.write_bytes(kept)
    assert statuses(waiting) == [200] * 5


def test_a_stream_outlives_its_ledger(path, tmp_path):
    """Taken away, the stream waits; replaced, it tells the events of the new one from its first."""
    make(path, "other")
    with Ledger.open(str(tmp_path / "next.db")) as following:
        fill_study(following)
        expected = len(following.events.since(0, study=STUDY))

    async def listen(ledger: Ledger) -> bytes:
        stream = events(ledger, STUDY, after=ledger.events.last_seq(), poll_s=0.02)
        await anext(stream)
        soon = asyncio.ensure_future(anext(stream))
        for part in tmp_path.glob("ledger.db*"):
            part.unlink()
        await asyncio.sleep(0.2)
        assert not soon.done()
        (tmp_path / "next.db").replace(path)
        return await asyncio.wait_for(soon, 10)

    with Ledger.follow(str(path), patience_s=0.1) as followed:
        assert asyncio.run(listen(followed)).count(b"id: ") == expected
