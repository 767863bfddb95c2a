"""Commands about single trials of a study that really ran."""

import json
import shutil

import pytest

from nefstudy.ledger import Ledger, TrialState

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def a_trial(root, *, phase="phase2"):
    with Ledger.open(f"sqlite:///{root}/ledger.db", read_only=True) as ledger:
        return ledger.trials("tiny", phase=phase, state=TrialState.COMPLETE, limit=1).rows[0]


def test_a_trial_of_a_study_replays_to_the_bit(finished_root, run_python):
    """What ran in a Tune actor comes out equal in a process of its own; the row says where it came from."""
    row = a_trial(finished_root)
    assert {"revision", "processor", "workers", "nefstudy", "python", "numpy", "ray", "rung_sha256"} <= set(
        row.fingerprint
    )
    done = run_python("-m", "nefstudy", "replay", row.key, "--root", finished_root, "--json")
    found = json.loads(done.stdout)
    assert found["same"]
    assert found["exact"]


def test_a_replay_that_differs_ends_with_one(finished_root, tmp_path, run_python):
    """A ledger whose record was altered: exit 1, one line that names what differs."""
    import sqlite3

    shutil.copy(finished_root / "ledger.db", tmp_path / "ledger.db")
    row = a_trial(finished_root)
    with sqlite3.connect(tmp_path / "ledger.db") as book:
        book.execute(
            "UPDATE documents SET metrics = json_set(metrics, '$.all_nmi', 2.0) "
            "WHERE trial_id = (SELECT id FROM trials WHERE key = ?)",
            (row.key,),
        )
    done = run_python("-m", "nefstudy", "replay", row.key, "--root", tmp_path, expect=1)
    assert "came out otherwise: all_nmi" in done.stderr
    assert "Traceback" not in done.stderr
