"""Tests of cached responses.

They are never older than allowed, and the cache is bounded.
"""

import threading
import time

import pytest

from nefstudy.service import snapshot
from nefstudy.service.snapshot import Snapshots

from ..ledger.records import as_cells
from .small_study import CELLS, STUDY, run_trial, trial_config


class Counted:
    """A computation that counts its calls and returns a different body each time."""

    def __init__(self, size: int = 8) -> None:
        self.times = 0
        self._size = size

    def __call__(self) -> bytes:
        self.times += 1
        return str(self.times).rjust(self._size).encode()


@pytest.fixture
def study(ledger):
    """Return a ledger with an empty study."""
    ledger.studies.put(STUDY, {}, cells=as_cells({("phase1", CELLS[0]): 4}))
    return ledger


def wait_for_staleness() -> None:
    """Wait until a response that is cheap to compute is no longer fresh."""
    time.sleep(snapshot.FRESH_S + 0.05)


def test_an_event_is_seen_once_freshness_is_over(study):
    """A stale response is recomputed if an event occurred; a fresh response is returned unchanged."""
    snapshots, compute = Snapshots(study), Counted()
    first = snapshots.take(STUDY, "a", compute)
    run_trial(study, "phase1", trial_config(CELLS[0]))
    assert snapshots.fresh(STUDY, "a") is snapshots.take(STUDY, "a", compute) is first
    wait_for_staleness()
    assert snapshots.fresh(STUDY, "a") is None
    assert snapshots.take(STUDY, "a", compute) != first


def test_without_events_the_bytes_stay(study):
    """If no event occurs, nothing is computed and the response's bytes stay the same, so ETags stay valid."""
    snapshots, compute = Snapshots(study), Counted()
    first = snapshots.take(STUDY, "a", compute)
    wait_for_staleness()
    assert snapshots.take(STUDY, "a", compute) is first
    assert compute.times == 1


def test_a_response_with_an_age_is_recomputed(study):
    """A response older than its maximum age is recomputed, even without an event."""
    snapshots, compute = Snapshots(study), Counted()
    snapshots.take(STUDY, "a", compute, age_s=0.1)
    wait_for_staleness()
    snapshots.take(STUDY, "a", compute, age_s=0.1)
    assert compute.times == 2


def test_each_name_has_its_own_response(study):
    """Responses cached under different names are not mixed up."""
    snapshots = Snapshots(study)
    assert snapshots.take(STUDY, "a", lambda: b"a") == b"a"
    assert snapshots.take(STUDY, "b", lambda: b"b") == b"b"


def test_a_failure_is_not_cached(study):
    """If computing a response fails, the next call computes the response again."""
    snapshots = Snapshots(study)
    with pytest.raises(ZeroDivisionError):
        snapshots.take(STUDY, "a", lambda: b"%d" % (1 // 0))
    assert snapshots.take(STUDY, "a", lambda: b"now") == b"now"


def test_concurrent_readers_compute_once(study):
    """Twenty concurrent threads share one computation."""
    snapshots, compute = Snapshots(study), Counted()
    threads = [threading.Thread(target=snapshots.take, args=(STUDY, "a", compute)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert compute.times == 1


def test_the_size_is_bounded(study):
    """If the cache exceeds its size limit, the least recently used responses are evicted.

    The latest response is never evicted.
    """
    snapshots = Snapshots(study, max_bytes=100)
    for name in "abc":
        snapshots.take(STUDY, name, lambda: b"x" * 40)
    assert [snapshots.fresh(STUDY, name) is None for name in "abc"] == [True, False, False]
    snapshots.take(STUDY, "large", lambda: b"x" * 1000)
    assert snapshots.fresh(STUDY, "large") is not None
    assert snapshots.fresh(STUDY, "c") is None


def test_the_number_of_responses_is_bounded(study, monkeypatch):
    """The number of cached responses is limited, however small they are."""
    monkeypatch.setattr(snapshot, "MAX_ENTRIES", 5)
    snapshots = Snapshots(study)
    names = [f"points {number}" for number in range(12)]
    for name in names:
        snapshots.take(STUDY, name, lambda: b"")
    assert [name for name in names if snapshots.fresh(STUDY, name) is not None] == names[-5:]
