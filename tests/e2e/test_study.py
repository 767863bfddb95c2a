"""Tests of a whole study with real Ray Tune, ledger, MLflow and REST: it is run, rerun, killed and resumed."""

import os
import signal
import subprocess
import sys
import time

import mlflow
import pytest

from nefstudy.ledger import Ledger, TrialRow, TrialState

pytestmark = [pytest.mark.ray, pytest.mark.slow]

PLANNED = {"phase1": 6, "phase2": 8}


def rows_of(root):
    with Ledger.open(f"sqlite:///{root}/ledger.db", read_only=True) as ledger:
        return ledger.trials.page("tiny", limit=None).rows


def test_both_phases_run_to_the_planned_counts(finished_root, nefstudy):
    """In `status --json`, all planned trials of both phases are complete and none has failed."""
    (study,) = nefstudy("status", "--root", finished_root)["studies"]
    assert study["study"] == "tiny"
    assert study["state"] == "finished"
    assert {p["phase"]: p["planned"] for p in study["phases"]} == PLANNED
    assert {p["phase"]: p["complete"] for p in study["phases"]} == PLANNED
    assert all(p["failed"] == p["running"] == p["interrupted"] == p["pruned"] == 0 for p in study["phases"])
    assert {best["cell"] for best in study["best"]} == {"digits8/siren", "digits8/rffnet"}
    assert not (finished_root / ".ray" / "tiny").exists(), "Ray's scratch files are removed after the run"


def test_status_rest_and_mlflow_agree(finished_root, nefstudy, served):
    """Status, REST, MLflow and the ledger report the same keys and accuracies."""
    rows = {row.key: row for row in rows_of(finished_root)}
    assert len(rows) == sum(PLANNED.values())
    with served(finished_root) as get:
        listed = get("/v1/studies/tiny/trials?limit=1000")["trials"]
        best = get("/v1/studies/tiny/best")["best"]
    assert {t["key"]: t["score"] for t in listed} == {k: r.score for k, r in rows.items()}
    (study,) = nefstudy("status", "--root", finished_root)["studies"]
    top = {b["cell"]: b["val_accuracy"] for b in best}
    for shown in study["best"]:
        assert shown["val_accuracy"] == rows[shown["key"]].score
        in_grid = [r for r in rows.values() if (r.phase, r.cell) == ("phase2", shown["cell"])]
        assert shown["val_accuracy"] == max(r.score for r in in_grid), "the search validates on other signals"
        assert shown["cell"] in top
    client = mlflow.MlflowClient(f"sqlite:///{finished_root}/mlflow.db")
    experiments = [e.experiment_id for e in client.search_experiments() if e.name.startswith("tiny/")]
    runs = client.search_runs(experiments, max_results=1000)
    for name in ("val_accuracy", "test_accuracy"):
        exported = {r.data.tags["nefstudy.key"]: r.data.metrics.get(name) for r in runs}
        assert exported == {key: row.metrics.get(name) for key, row in rows.items()}
    assert {row.phase for row in rows.values() if "test_accuracy" in row.metrics} == {"phase2"}
    assert all("val_accuracy" in row.metrics for row in rows.values())
    assert {r.info.status for r in runs} == {"FINISHED"}


def test_a_rerun_of_a_finished_study_does_nothing(finished_root, run_python):
    """Running the command of a finished study again exits quickly and changes no row.

    It prints a results table, the path of a figure and suggested next commands.
    """
    before = [(row.key, row.attempt, row.ended_at) for row in rows_of(finished_root)]
    start = time.monotonic()
    output = run_python("tests/e2e/tiny_study.py", "--root", finished_root, "--study", "tiny").stdout
    assert time.monotonic() - start < 60
    assert [(row.key, row.attempt, row.ended_at) for row in rows_of(finished_root)] == before
    for text in (
        "14/14 trials complete",
        "Test accuracy over all by initialization",
        "digits8/siren",
        "digits8/rffnet",
        "nefstudy serve",
        "mlflow server",
        "ladders.png",
    ):
        assert text in output, output
    picture = finished_root / "reports" / "tiny" / "ladders.png"
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_different_plan_under_the_same_name_is_rejected(finished_root, run_python):
    """Reusing a study's name with another seed is rejected with an error that names the difference.

    The ledger stays unchanged.
    """
    before = rows_of(finished_root)
    done = run_python("tests/e2e/tiny_study.py", "--root", finished_root, "--study", "tiny", "--seed", 5, expect=2)
    assert "seed was 0, is now 5" in done.stderr
    assert "Traceback" not in done.stderr
    assert rows_of(finished_root) == before


@pytest.mark.fault
def test_a_killed_driver_loses_nothing_and_repeats_nothing(tmp_path, run_python):
    """A rerun after `kill -9` repeats no complete trial and completes the remaining trials."""
    command = [sys.executable, "tests/e2e/tiny_study.py", "--root", str(tmp_path), "--study", "tiny"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as driver:
        deadline = time.monotonic() + 200
        done: list[TrialRow] = []
        while len(done) < 3 and time.monotonic() < deadline:
            time.sleep(0.3)
            if (tmp_path / "ledger.db").exists():
                try:
                    done = [row for row in rows_of(tmp_path) if row.state is TrialState.COMPLETE]
                except Exception:
                    done = []
        assert len(done) >= 3, "the study did not start"
        driver.send_signal(signal.SIGKILL)
    before = {row.key: (row.attempt, row.ended_at) for row in rows_of(tmp_path) if row.state is TrialState.COMPLETE}
    run_python(*command[1:])
    after = {row.key: row for row in rows_of(tmp_path)}
    assert len(after) == sum(PLANNED.values())
    assert {row.state for row in after.values()} == {TrialState.COMPLETE}
    assert {key: (after[key].attempt, after[key].ended_at) for key in before} == before


def test_a_second_driver_is_rejected_naming_the_first(finished_root, run_python):
    """While one process holds a study's lease, starting the study again exits with code 3 and names that process."""
    from nefstudy.ledger import Owner

    with Ledger.open(f"sqlite:///{finished_root}/ledger.db") as ledger:
        lease = ledger.leases.acquire("tiny", Owner.current())
        try:
            done = run_python("tests/e2e/tiny_study.py", "--root", finished_root, "--study", "tiny", expect=3)
        finally:
            ledger.leases.release(lease, state="finished")
    assert str(os.getpid()) in done.stderr
