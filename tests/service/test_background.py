"""Tables that take long are computed in the background, once, and only a few at a time."""

import threading

import pytest

from nefstudy.insight import catalog
from nefstudy.service import snapshot

from .conftest import STUDY


def test_what_takes_long_is_computed_aside(filled, client_of, monkeypatch):
    """While it is being computed: 202 and when to ask again, other routes at once; then 200, computed once."""
    release, calls = threading.Event(), []

    def slow(source, options):
        calls.append(options)
        release.wait(20)
        return quick(source, options)

    quick = catalog.TABLES["importance"]
    monkeypatch.setitem(catalog.TABLES, "importance", slow)
    monkeypatch.setattr(snapshot, "WAIT_S", 0.05)
    client = client_of(filled[0])
    path = f"/v1/studies/{STUDY}/tables/importance"
    for _ in range(3):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["retry-after"], answer.json()) == (202, "2", {})
    assert client.get(f"/v1/studies/{STUDY}/progress").status_code == 200
    release.set()
    monkeypatch.setattr(snapshot, "WAIT_S", 20.0)
    assert (client.get(path).status_code, client.get(path).json()["id"]) == (200, "importance")
    assert len(calls) == 1


def test_only_so_much_is_computed_aside(filled, monkeypatch):
    """One question too many starts nothing and has to be repeated."""
    monkeypatch.setattr(snapshot, "WAIT_S", 0.01)
    release = threading.Event()
    kept = snapshot.Snapshots(filled[0])
    for number in range(snapshot.MAX_JOBS):
        assert kept.soon(STUDY, str(number), lambda: b"%d" % release.wait(20)) is None
    assert kept.soon(STUDY, "more", lambda: pytest.fail("it was started")) is None
    release.set()
