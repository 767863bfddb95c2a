"""Tests of pruned searches with real Ray Tune."""

import mlflow
import pytest

from nefstudy.ledger import Ledger, TrialState

pytestmark = [pytest.mark.ray, pytest.mark.slow]

RUNGS = (1, 3)  # of nine epochs


def test_a_pruned_search_uses_its_budget(tmp_path, run_python, nefstudy, served):
    """Of the eight trials of a pruned search, some are pruned and none fails.

    The ledger, status, REST and MLflow agree, and a rerun repeats no trial.
    """
    command = ("tests/e2e/pruned_study.py", "--root", tmp_path, "--study", "tiny", "--concurrency", 1)
    output = run_python(*command, "--pruner", "asha").stdout
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db", read_only=True) as ledger:
        rows = ledger.trials.page("tiny", phase="phase1", limit=None).rows
        curves = {row.key: ledger.trials.curves("tiny", "phase1", key=row.key)["val_accuracy"] for row in rows}
    pruned = {row.key for row in rows if row.state is TrialState.PRUNED}
    assert {row.state for row in rows} == {TrialState.COMPLETE, TrialState.PRUNED}
    assert len(rows) == 8
    assert f"{len(pruned)} pruned" in output
    assert all(len(curves[row.key]) in (RUNGS if row.key in pruned else (9,)) for row in rows)
    assert all(row.metrics["pruned_epoch"] == len(curves[row.key]) for row in rows if row.key in pruned)
    assert all("revision" in row.fingerprint and row.metrics["all_psnr"] > 0 for row in rows)
    (study,) = nefstudy("status", "--root", tmp_path)["studies"]
    first, grid = study["phases"]
    assert (first["complete"], first["pruned"], first["failed"]) == (8 - len(pruned), len(pruned), 0)
    assert (grid["complete"], grid["pruned"]) == (2, 0)
    with served(tmp_path) as get:
        listed = get("/v1/studies/tiny/trials?state=PRUNED&limit=100")["trials"]
    assert {trial["key"] for trial in listed} == pruned
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    experiments = [e.experiment_id for e in client.search_experiments() if e.name.endswith("/phase1")]
    killed = [run for run in client.search_runs(experiments) if run.info.status == "KILLED"]
    assert {run.data.tags["nefstudy.key"] for run in killed} == pruned
    lines = nefstudy("logs", next(iter(pruned)), "--root", tmp_path)["lines"]
    assert lines[-1].endswith("pruned")
    run_python(*command, "--pruner", "asha")
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db", read_only=True) as ledger:
        assert ledger.trials.page("tiny", phase="phase1", limit=None).rows == rows, "a rerun repeats nothing"


def test_a_grid_rejects_a_pruner(tmp_path, run_python):
    """A pruner is rejected for a grid: the command exits with code 2 and starts no trial."""
    done = run_python("studies/phase2.py", "--scale", "smoke", "--root", tmp_path, "--pruner", "asha", expect=2)
    assert "a grid runs every point" in done.stderr
