"""Tests of drivers that are killed, terminated or started twice."""

import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from nefstudy.ledger import Ledger, TrialState

from ..present import present
from .driver import NO_MLFLOW

pytestmark = [pytest.mark.fault, pytest.mark.ray, pytest.mark.slow]
REPLICATES = 6  # enough trials that a driver still runs when a second one has been refused

CONNECTED = """
import os, signal, time
from nefstudy.study.cluster.connection import connected_ray
from nefstudy.study.driver.session import _stop_on_signal
with _stop_on_signal(), connected_ray():
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(20)
"""
DISCONNECTED = """
import os, signal, time
from nefstudy.study.cluster.connection import connected_ray
from nefstudy.study.driver.session import _stop_on_signal
with _stop_on_signal():
    with connected_ray():
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(20)
"""


def complete(rows) -> dict:
    return {(row.phase, row.key): (row.attempt, row.ended_at) for row in rows if row.state is TrialState.COMPLETE}


def ray_folders() -> set[Path]:
    """Return the directories of drivers' local Ray instances."""
    return set(Path(tempfile.gettempdir()).glob("nef-*"))


@pytest.mark.parametrize("script", [CONNECTED, DISCONNECTED], ids=["connected", "disconnected"])
def test_sigterm_reaches_a_driver_with_ray_and_after_it(script):
    """After SIGTERM, a driver exits with code 143 whether or not it is still connected to Ray.

    While connected, Ray's signal handlers are installed; when disconnecting, they are removed.
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 143, done.stderr[-2000:]
    assert "SIGTERM received" not in done.stderr


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_a_terminated_driver_releases_its_study_and_is_continued(start_driver, invariants, quick_plan):
    """If a driver receives SIGTERM, it exits with code 143, and a rerun completes the study.

    The driver releases its lease and leaves no trial open, and complete trials are not run again. A second driver
    exits with code 3 and an error that names the first driver. MLflow is unreachable throughout.
    """
    first = start_driver("--replicates", REPLICATES, **NO_MLFLOW)
    first.wait_for(3)
    second = start_driver("--replicates", REPLICATES, **NO_MLFLOW)
    assert second.end() == 3
    assert f"is driven by pid {first.process.pid}" in second.output()
    began = time.monotonic()
    first.kill(signal.SIGTERM)
    assert first.end() == 143
    took = time.monotonic() - began
    assert took < 60, f"longer than the grace period of a preempted machine: {took:.0f} s"
    done = complete(invariants().check())
    with Ledger.open(f"sqlite:///{first.root}/ledger.db", read_only=True) as ledger:
        assert ledger.leases.holder("quick") is None
        assert present(ledger.studies.get("quick")).state == "stopped"
    again = start_driver("--replicates", REPLICATES, **NO_MLFLOW)
    assert again.end(600) == 0, again.output()
    assert "Traceback" not in again.output()
    rows = invariants().check(plan=quick_plan(replicates=REPLICATES), acked={key for _, key in done})
    assert {ref: complete(rows)[ref] for ref in done} == done


@pytest.mark.nightly
def test_a_driver_terminated_with_its_ray_releases_its_study(start_driver):
    """If the driver's process group receives SIGTERM, the driver exits with code 143.

    It leaves no lease and no running trial.
    """
    driver = start_driver("--replicates", 8, script="tests/faults/slow_study.py", **NO_MLFLOW)
    driver.wait_for(1, state=TrialState.RUNNING)
    driver.kill(signal.SIGTERM, group=True)
    assert driver.end(120) == 143, driver.output()
    with Ledger.open(f"sqlite:///{driver.root}/ledger.db", read_only=True) as ledger:
        assert ledger.leases.holder("quick") is None
        assert not ledger.trials.page("quick", state=TrialState.RUNNING, limit=None).rows


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_driver_killed_at_any_share_loses_and_repeats_nothing(share, start_driver, invariants, quick_plan, tmp_path):
    """A rerun completes a study whose driver was killed with 10, 50 or 90 % of the trials done.

    Complete trials are not run again. The grid's values equal those of a fault-free run, and MLflow has one run per
    trial.
    """
    before = ray_folders()
    plan = quick_plan(replicates=2, trials=4)
    planned = sum(plan.planned().values())
    first = start_driver("--replicates", 2, "--trials", 4)
    first.wait_for(int(share * planned))
    first.kill()
    assert first.end() == -signal.SIGKILL
    done = complete(invariants().rows())
    again = start_driver("--replicates", 2, "--trials", 4)
    assert again.end(600) == 0, again.output()
    assert ray_folders() <= before, "the directory of the killed driver's Ray is removed"
    rows = invariants().check(plan=plan, acked={key for _, key in done}, mlflow=True)
    assert {ref: complete(rows)[ref] for ref in done} == done
    (tmp_path / "whole").mkdir()
    whole = start_driver("--replicates", 2, root=tmp_path / "whole", **NO_MLFLOW)
    assert whole.end(600) == 0, whole.output()
    invariants().check(reference=invariants(tmp_path / "whole").check())
