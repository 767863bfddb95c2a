"""Tests that every example runs, resumes after a kill, and is shown by the service.

`make test` kills only the example whose sampler is custom: how the other examples resume does not depend on their code.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nefstudy.errors import NoLedger
from nefstudy.ledger import Ledger, TrialState

pytestmark = [pytest.mark.ray, pytest.mark.slow]

PROJECT = Path(__file__).parents[2]
EXAMPLES = {
    "random_search": ("random-search", 6, "fitting", "val_psnr", "maximize"),
    "own_init": ("own-init", 6, "fitting", "val_psnr", "maximize"),
    "own_sampler": ("own-sampler", 4, "fitting", "val_psnr", "maximize"),
    "own_task": ("own-task", 6, "drift", "all_drift", "minimize"),
}
NIGHTLY = [pytest.mark.fault, pytest.mark.nightly]
RUNS = [
    *(pytest.param((name, False), id=name) for name in EXAMPLES if name != "own_sampler"),
    *(
        pytest.param((name, True), id=f"{name}-killed", marks=[] if name == "own_sampler" else NIGHTLY)
        for name in EXAMPLES
    ),
]
CLEAN = {k: v for k, v in os.environ.items() if not k.startswith(("NEFSTUDY_", "MLFLOW_", "RAY_"))}


def rows_of(root: Path, study: str):
    with Ledger.open(f"sqlite:///{root}/ledger.db", read_only=True) as ledger:
        return ledger.trials.page(study, limit=None).rows


def complete(root: Path, study: str) -> int:
    try:
        return sum(row.state is TrialState.COMPLETE for row in rows_of(root, study))
    except NoLedger:
        return 0


def kill_after_two_trials(command: list[str], root: Path, study: str) -> dict[str, float | None]:
    """Start an example, kill it after its first trials, and return when each complete trial ended."""
    first = subprocess.Popen(
        command, cwd=PROJECT, env=CLEAN, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while complete(root, study) < 2 and first.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    os.killpg(first.pid, signal.SIGKILL) if first.poll() is None else None
    first.wait()
    return {row.key: row.ended_at for row in rows_of(root, study) if row.state is TrialState.COMPLETE}


@pytest.fixture(scope="module", params=RUNS)
def ran(request, tmp_path_factory, run_python):
    """Run an example, in some cases after killing a first run, and return the root and the expected results."""
    name, killed = request.param
    script, root = f"studies/examples/{name}.py", tmp_path_factory.mktemp("example")
    study, planned, *declared = EXAMPLES[name]
    options = ["--trials", str(planned)] if name in ("random_search", "own_task") else []
    command = [script, "--root", str(root), *options]
    before = kill_after_two_trials([sys.executable, *command], root, study) if killed else {}
    run_python(*command)
    return root, study, planned, declared, before


def test_an_example_completes_its_trials_once(ran):
    """Every planned trial of an example is complete, and a rerun after a kill repeats no complete trial."""
    root, study, planned, (task, metric, _), before = ran
    rows = {row.key: row for row in rows_of(root, study)}
    assert len(rows) == planned
    assert {row.state for row in rows.values()} == {TrialState.COMPLETE}
    assert {row.task for row in rows.values()} == {task}
    assert all(row.score == row.metrics[metric] for row in rows.values())
    assert {key: rows[key].ended_at for key in before} == before


def test_the_service_shows_it_without_importing_it(ran, served):
    """The service shows an example's metrics and best trial although it does not import the example's code.

    The best trial follows the direction of the objective.
    """
    root, study, _, (_, metric, direction), _ = ran
    scores = {row.key: row.score for row in rows_of(root, study)}
    expected = (max if direction == "maximize" else min)(scores.values())
    with served(root) as get:
        (cell,) = get(f"/v1/studies/{study}")["plan"]["cells"]
        (best,) = get(f"/v1/studies/{study}/progress")["best"]
        table = get(f"/v1/studies/{study}/tables/best")
        figure = get(f"/v1/studies/{study}/figures/ladders")
    assert cell["objective"] == {"metric": metric, "direction": direction}
    assert metric in {declared["name"] for declared in cell["metrics"]}
    assert (best["objective"], best["score"]) == (metric, expected)
    assert table["rows"]
    assert figure["id"] == "ladders"
