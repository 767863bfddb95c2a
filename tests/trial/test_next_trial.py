"""Tests that changes made by a trial to its process do not affect the bytes and metrics of the next trial."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .acts import ACTS, QUIET_ACTS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SENSITIVE = ["not-isolated:dtype", "not-isolated:grad", "not-isolated:method"]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    """Run a healthy trial in a fresh process and after a trial that performs each act; return the results by act."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.trial.next_trial", str(tmp_path_factory.mktemp("roots"))]
    done = subprocess.run(
        [*command, "fresh", *ACTS, *QUIET_ACTS, *SENSITIVE],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {result.pop("act"): result for result in lines}


@pytest.mark.parametrize("act", [*ACTS, *QUIET_ACTS])
def test_the_next_trial_equals_one_in_a_fresh_process(results: dict[str, dict], act: str) -> None:
    """After a trial that changed the process, the next trial gives the same bytes and metrics as in a fresh process."""
    assert "metrics" in results["fresh"]
    assert results[act] == results["fresh"]


@pytest.mark.parametrize("act", SENSITIVE)
def test_without_isolation_the_next_trial_differs(results: dict[str, dict], act: str) -> None:
    """Without isolation, a trial that changes its process affects the result of the next trial."""
    assert results[act] != results["fresh"]
