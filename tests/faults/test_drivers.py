"""Drivers that are killed, terminated or doubled."""

import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from nefstudy.ledger import Ledger, TrialState

from .conftest import NO_MLFLOW

pytestmark = [pytest.mark.fault, pytest.mark.ray, pytest.mark.slow]

CONNECTED = """
import os, signal, time
from nefstudy.study.cluster import connected_ray
from nefstudy.study.session import _stop_on_signal
with _stop_on_signal(), connected_ray():
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(20)
"""
DISCONNECTED = """
import os, signal, time
from nefstudy.study.cluster import connected_ray
from nefstudy.study.session import _stop_on_signal
with _stop_on_signal():
    with connected_ray():
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(20)
"""


def complete(rows) -> dict:
    return {(row.phase, row.key): (row.attempt, row.ended_at) for row in rows if row.state is TrialState.COMPLETE}


def ray_folders() -> set[Path]:
    """Directories of drivers' own Rays."""
    return set(Path(tempfile.gettempdir()).glob("nef-*"))


@pytest.mark.parametrize("script", [CONNECTED, DISCONNECTED], ids=["connected", "disconnected"])
def test_sigterm_reaches_a_driver_with_ray_and_after_it(script):
    """Ray puts handlers of its own in place, and none when it goes: the driver's are back, and it exits 143."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 143, done.stderr[-2000:]
    assert "SIGTERM received" not in done.stderr


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_a_terminated_driver_gives_its_study_up_and_is_continued(start_driver, invariants, quick_plan):
    """A second driver is turned away (exit 3, by name); SIGTERM ends the first with 143, its lease released and
    nothing open; with MLflow away all the time, the same command does the rest and no trial twice.
    """
    first = start_driver("--replicates", 3, **NO_MLFLOW)
    first.wait_for(3)
    second = start_driver("--replicates", 3, **NO_MLFLOW)
    assert second.end() == 3
    assert f"is driven by pid {first.process.pid}" in second.said()
    began = time.monotonic()
    first.kill(signal.SIGTERM)
    assert first.end() == 143
    took = time.monotonic() - began
    assert took < 60, f"the grace of a preempted machine: {took:.0f} s"
    done = complete(invariants().check())
    with Ledger.open(f"sqlite:///{first.root}/ledger.db", read_only=True) as ledger:
        assert ledger.leases.holder("quick") is None
        assert ledger.studies.get("quick").state == "stopped"
    again = start_driver("--replicates", 3, **NO_MLFLOW)
    assert again.end(600) == 0, again.said()
    assert "Traceback" not in again.said()
    rows = invariants().check(plan=quick_plan(replicates=3), acked={key for _, key in done})
    assert {place: complete(rows)[place] for place in done} == done


@pytest.mark.nightly
def test_a_driver_terminated_with_its_ray_gives_its_study_up(start_driver):
    """A batch system's SIGTERM to the whole process group: exit 143, the lease released, nothing open."""
    driver = start_driver("--replicates", 8, script="tests/faults/slow_study.py", **NO_MLFLOW)
    driver.wait_for(1, state=TrialState.RUNNING)
    driver.kill(signal.SIGTERM, group=True)
    assert driver.end(120) == 143, driver.said()
    with Ledger.open(f"sqlite:///{driver.root}/ledger.db", read_only=True) as ledger:
        assert ledger.leases.holder("quick") is None
        assert not ledger.trials.page("quick", state=TrialState.RUNNING, limit=None).rows


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_driver_killed_at_any_share_loses_and_repeats_nothing(share, start_driver, invariants, quick_plan, tmp_path):
    """kill -9 at 10, 50 and 90 % and the same command: finished trials keep their attempt; the grid's values are
    those of a run without a fault; MLflow ends with one run a trial.
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
    assert again.end(600) == 0, again.said()
    assert ray_folders() <= before, "what the killed driver's Ray left is gone"
    rows = invariants().check(plan=plan, acked={key for _, key in done}, mlflow=True)
    assert {place: complete(rows)[place] for place in done} == done
    (tmp_path / "whole").mkdir()
    whole = start_driver("--replicates", 2, root=tmp_path / "whole", **NO_MLFLOW)
    assert whole.end(600) == 0, whole.said()
    invariants().check(reference=invariants(tmp_path / "whole").check())
