"""Tests of slow tables, which are computed in the background.

Each table is computed once, and only a few are computed at a time.
"""

import threading

import pytest

from nefstudy.insight import catalog
from nefstudy.service import snapshot

from .small_study import STUDY


def test_a_slow_table_is_computed_in_the_background(filled, client_of, monkeypatch):
    """A slow table is computed only once, however often it is requested before it is ready.

    The requests get 202 with Retry-After, and other routes still respond.
    """
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
        response = client.get(path)
        assert (response.status_code, response.headers["retry-after"], response.json()) == (202, "2", {})
    assert client.get(f"/v1/studies/{STUDY}/progress").status_code == 200
    release.set()
    monkeypatch.setattr(snapshot, "WAIT_S", 20.0)
    assert (client.get(path).status_code, client.get(path).json()["id"]) == (200, "importance")
    assert len(calls) == 1


def test_background_jobs_are_bounded(filled, monkeypatch):
    """If too many background jobs are running, a request starts no further job and returns no result yet."""
    monkeypatch.setattr(snapshot, "WAIT_S", 0.01)
    release = threading.Event()
    snapshots = snapshot.Snapshots(filled[0])
    for number in range(snapshot.MAX_JOBS):
        assert snapshots.take_or_defer(STUDY, str(number), lambda: b"%d" % release.wait(20)) is None
    assert snapshots.take_or_defer(STUDY, "more", lambda: pytest.fail("it was started")) is None
    release.set()
