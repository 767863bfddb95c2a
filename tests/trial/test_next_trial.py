"""What a trial does to its process reaches neither bytes nor numbers of the trial after it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .test_process_state import ACTS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SENSITIVE = ["kept-not:dtype", "kept-not:grad", "kept-not:method"]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    """The result of a healthy trial in a fresh process, and in the process of a trial that did each act."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.trial.next_trial", str(tmp_path_factory.mktemp("roots"))]
    done = subprocess.run(
        [*command, "fresh", *ACTS, *SENSITIVE],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    results = [json.loads(line) for line in done.stdout.splitlines()]
    return {result.pop("act"): result for result in results}


@pytest.mark.parametrize("act", ACTS)
def test_the_next_trial_is_that_of_a_fresh_process(found: dict[str, dict], act: str) -> None:
    """Equal bytes, fingerprint and metrics, to the last digit."""
    assert "metrics" in found["fresh"]
    assert found[act] == found["fresh"]


@pytest.mark.parametrize("act", SENSITIVE)
def test_without_restoring_the_next_trial_differs(found: dict[str, dict], act: str) -> None:
    """The acts matter: other numbers, or an error."""
    assert found[act] != found["fresh"]
