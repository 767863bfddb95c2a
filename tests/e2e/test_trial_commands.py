"""Commands about single trials of a study that really ran."""

import json
import shutil

import pytest

from nefstudy.ledger import Ledger, TrialState

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def a_trial(root, *, phase="phase2"):
    with Ledger.open(f"sqlite:///{root}/ledger.db", read_only=True) as ledger:
        return ledger.trials.page("tiny", phase=phase, state=TrialState.COMPLETE, limit=1).rows[0]


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


def test_a_trial_says_what_it_did(finished_root, nefstudy):
    """Attempt, fit, every epoch and the end are in its own log, whichever actor ran it."""
    for phase in ("phase1", "phase2"):
        row = a_trial(finished_root, phase=phase)
        said = "\n".join(nefstudy("logs", row.key, "--root", finished_root)["lines"])
        for wanted in (f"attempt 1 at trial {row.key}", f"neural dataset {row.dataset}", "epoch 2/2", "complete"):
            assert wanted in said
    assert len(nefstudy("logs", row.key, "--root", finished_root, "--lines", 1)["lines"]) == 1


def test_an_unknown_trial_has_no_log(finished_root, run_python):
    """Exit 2 for a key that is neither in the ledger nor under the root."""
    done = run_python("-m", "nefstudy", "logs", "0" * 20, "--root", finished_root, expect=2)
    assert "neither in the ledger nor" in done.stderr
