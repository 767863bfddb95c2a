"""Tests of the commands for single trials of a finished study."""

import json
import shutil

import pytest

from nefstudy.ledger import Ledger, TrialState

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def a_trial(root, *, phase="phase2"):
    with Ledger.open(f"sqlite:///{root}/ledger.db", read_only=True) as ledger:
        return ledger.trials.page("tiny", phase=phase, state=TrialState.COMPLETE, limit=1).rows[0]


def test_a_trial_of_a_study_replays_exactly(finished_root, run_python):
    """Replaying a trial in a separate process yields bit-identical results.

    The trial's row records its provenance.
    """
    row = a_trial(finished_root)
    assert {"revision", "processor", "workers", "nefstudy", "python", "numpy", "ray", "rung_sha256"} <= set(
        row.fingerprint
    )
    done = run_python("-m", "nefstudy", "replay", row.key, "--root", finished_root, "--json")
    result = json.loads(done.stdout)
    assert result["same"]
    assert result["exact"]


def test_a_replay_that_differs_exits_with_1(finished_root, tmp_path, run_python):
    """If a trial's record in the ledger was altered, a replay exits with code 1 and names the difference."""
    import sqlite3

    shutil.copy(finished_root / "ledger.db", tmp_path / "ledger.db")
    row = a_trial(finished_root)
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        connection.execute(
            "UPDATE documents SET metrics = json_set(metrics, '$.all_nmi', 2.0) "
            "WHERE trial_id = (SELECT id FROM trials WHERE key = ?)",
            (row.key,),
        )
    done = run_python("-m", "nefstudy", "replay", row.key, "--root", tmp_path, expect=1)
    assert "differs in all_nmi" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_trial_has_a_log(finished_root, nefstudy):
    """In both phases, a trial's log reports the attempt, the fit, the epochs and the completion."""
    for phase in ("phase1", "phase2"):
        row = a_trial(finished_root, phase=phase)
        log = "\n".join(nefstudy("logs", row.key, "--root", finished_root)["lines"])
        for text in (f"attempt 1 at trial {row.key}", f"neural dataset {row.dataset}", "epoch 2/2", "complete"):
            assert text in log
    assert len(nefstudy("logs", row.key, "--root", finished_root, "--lines", 1)["lines"]) == 1


def test_an_unknown_trial_has_no_log(finished_root, run_python):
    """`logs` exits with code 2 for a key that is neither in the ledger nor under the root."""
    done = run_python("-m", "nefstudy", "logs", "0" * 20, "--root", finished_root, expect=2)
    assert "neither in the ledger nor" in done.stderr
