"""Kept answers are never older than they say, and never more than there is room for."""

import threading
import time

import pytest

from nefstudy.service import snapshot
from nefstudy.service.snapshot import Snapshots

from ..ledger.records import as_cells
from .conftest import CELLS, STUDY, run_trial, trial_config


class Counted:
    """Computes a different answer each time, and counts."""

    def __init__(self, size: int = 8) -> None:
        self.times = 0
        self._size = size

    def __call__(self) -> bytes:
        self.times += 1
        return str(self.times).rjust(self._size).encode()


@pytest.fixture
def study(ledger):
    """A ledger with an empty study."""
    ledger.studies.put(STUDY, {}, cells=as_cells({("phase1", CELLS[0]): 4}))
    return ledger


def wait_for_staleness() -> None:
    """Until a cheap answer is no longer fresh."""
    time.sleep(snapshot.FRESH_S + 0.05)


def test_an_event_is_seen_once_freshness_is_over(study):
    """Within its freshness an answer is the very bytes; after an event and that time it is new."""
    kept, compute = Snapshots(study), Counted()
    first = kept.take(STUDY, "a", compute)
    run_trial(study, "phase1", trial_config(CELLS[0]))
    assert kept.fresh(STUDY, "a") is kept.take(STUDY, "a", compute) is first
    wait_for_staleness()
    assert kept.fresh(STUDY, "a") is None
    assert kept.take(STUDY, "a", compute) != first


def test_without_events_the_bytes_stay(study):
    """Nothing new: the same bytes and nothing computed, so that an ETag holds."""
    kept, compute = Snapshots(study), Counted()
    first = kept.take(STUDY, "a", compute)
    wait_for_staleness()
    assert kept.take(STUDY, "a", compute) is first
    assert compute.times == 1


def test_what_time_changes_is_computed_anew(study):
    """An answer with an age is made again when it is older than that, event or not."""
    kept, compute = Snapshots(study), Counted()
    kept.take(STUDY, "a", compute, age_s=0.1)
    wait_for_staleness()
    kept.take(STUDY, "a", compute, age_s=0.1)
    assert compute.times == 2


def test_names_are_kept_apart(study):
    """Each name has its own answer."""
    kept = Snapshots(study)
    assert kept.take(STUDY, "a", lambda: b"a") == b"a"
    assert kept.take(STUDY, "b", lambda: b"b") == b"b"


def test_a_failure_is_not_kept(study):
    """What could not be computed is tried again at the next call, and takes no memory."""
    kept = Snapshots(study)
    with pytest.raises(ZeroDivisionError):
        kept.take(STUDY, "a", lambda: b"%d" % (1 // 0))
    assert kept.take(STUDY, "a", lambda: b"now") == b"now"


def test_many_readers_compute_once(study):
    """Twenty threads that ask at the same time share one computation."""
    kept, compute = Snapshots(study), Counted()
    threads = [threading.Thread(target=kept.take, args=(STUDY, "a", compute)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert compute.times == 1


def test_room_is_bounded(study):
    """Beyond the room there is, the answers asked for longest ago go first; the latest always stays."""
    kept = Snapshots(study, max_bytes=100)
    for name in "abc":
        kept.take(STUDY, name, lambda: b"x" * 40)
    assert [kept.fresh(STUDY, name) is None for name in "abc"] == [True, False, False]
    kept.take(STUDY, "large", lambda: b"x" * 1000)
    assert kept.fresh(STUDY, "large") is not None
    assert kept.fresh(STUDY, "c") is None


def test_ever_new_questions_take_bounded_memory(study, monkeypatch):
    """Short answers are dropped by their number, long before their bytes fill the room."""
    monkeypatch.setattr(snapshot, "MAX_KEPT", 5)
    kept = Snapshots(study)
    names = [f"points {number}" for number in range(12)]
    for name in names:
        kept.take(STUDY, name, lambda: b"")
    assert [name for name in names if kept.fresh(STUDY, name) is not None] == names[-5:]
