"""Kept progress is never older than it says."""

import json
import time

import pytest
from starlette.exceptions import HTTPException

from nefstudy.service import snapshot
from nefstudy.service.snapshot import Snapshots

from .conftest import CELLS, STUDY, run_trial, trial_config


def complete(body: bytes) -> int:
    """Complete trials according to a snapshot."""
    return json.loads(body)["complete"]


def test_an_event_is_seen_once_freshness_is_over(ledger):
    """Within its freshness a snapshot is the very bytes; after an event and that time it is new."""
    ledger.put_study(STUDY, {}, planned={("phase1", CELLS[0]): 4})
    kept = Snapshots(ledger)
    first = kept.take(STUDY)
    run_trial(ledger, "phase1", trial_config(CELLS[0]))
    assert kept.fresh(STUDY) is first
    time.sleep(snapshot.FRESH_S + 0.05)
    assert kept.fresh(STUDY) is None
    assert (complete(first), complete(kept.take(STUDY))) == (0, 1)


def test_without_events_the_bytes_stay(ledger):
    """Nothing new: the same bytes, so that an ETag holds."""
    ledger.put_study(STUDY, {}, planned={})
    kept = Snapshots(ledger)
    first = kept.take(STUDY)
    time.sleep(snapshot.FRESH_S + 0.05)
    assert kept.take(STUDY) is first


def test_an_unknown_study_is_not_kept(ledger):
    """404, and no memory spent on names that strangers think up."""
    kept = Snapshots(ledger)
    for name in ("a", "b"):
        with pytest.raises(HTTPException):
            kept.take(name)
    assert kept.fresh("a") is None
