"""Tests of trials whose driver has died.

They are interrupted at once if the driver is known to be dead, and otherwise when its lease expires.
"""

import subprocess
import sys
import time
from dataclasses import replace

import pytest

from nefstudy.config import FieldConfig, NeuralDatasetConfig, SignalsConfig
from nefstudy.errors import StudyBusy
from nefstudy.ledger import Ledger, Owner, TrialState
from nefstudy.tasks.classification import ClassificationConfig

from ..ledger.records import as_record

pytestmark = [pytest.mark.fault]

TRIAL = ClassificationConfig(
    dataset=NeuralDatasetConfig(
        signals=SignalsConfig(name="digits8", content="c"),
        field=FieldConfig(name="siren", params={"hidden": 4}),
        init="shared",
    ),
    steps=1,
)
WORKS_AND_DIES = """
import os, sys
from nefstudy.config import parse
from nefstudy.tasks.classification import ClassificationConfig
from nefstudy.ledger import Ledger, Owner
from nefstudy.study.samplers.stream import record_of
ledger = Ledger.open(sys.argv[1])
lease = ledger.leases.acquire("quick", Owner.current())
trial = parse(ClassificationConfig, sys.argv[2], where="trial")
record = record_of(trial, cell='digits8/siren', needs=(trial.dataset.digest,))
token = ledger.trials.request("quick", "phase1", record=record, lease=lease)
ledger.trials.start("quick", "phase1", key=trial.key, token=token, lease=lease)
os._exit(9)
"""


@pytest.fixture
def wall() -> list[float]:
    """Return a wall clock that the test can set."""
    return [1_800_000_000.0]


@pytest.fixture
def ledger(tmp_path, wall):
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db", clock=lambda: wall[0]) as ledger:
        ledger.studies.put("quick", {}, cells={})
        yield ledger


def begin(ledger, lease) -> int:
    token = ledger.trials.request("quick", "phase1", record=as_record(TRIAL), lease=lease)
    ledger.trials.start("quick", "phase1", key=TRIAL.key, token=token, lease=lease)
    return token


@pytest.mark.slow
def test_orphans_of_a_dead_process_of_this_host_are_closed_at_once(tmp_path, ledger, invariants):
    """The next driver closes the trials of a dead driver on this host without waiting for the dead driver's lease."""
    command = [sys.executable, "-c", WORKS_AND_DIES, f"sqlite:///{tmp_path}/ledger.db", TRIAL.canonical_json()]
    assert subprocess.run(command, timeout=60, check=False).returncode == 9
    assert ledger.trials.get(TRIAL.key).state is TrialState.RUNNING
    began = time.monotonic()
    lease = ledger.leases.acquire("quick", Owner.current())
    assert ledger.trials.interrupt("quick", lease=lease) == 1
    assert time.monotonic() - began < 5
    ledger.leases.release(lease)
    (row,) = invariants().check()
    assert row.state is TrialState.INTERRUPTED


def test_orphans_of_another_host_are_closed_after_its_lease(ledger, wall, invariants):
    """Running trials of a driver on another host are closed only once that driver's lease has expired.

    Until then, the study is busy. Afterwards, a new driver waits for less than a full lease.
    """
    elsewhere = replace(Owner.current(), host="node-2", boot_id="another-kernel", pid_namespace="pid:[1]")
    begin(ledger, ledger.leases.acquire("quick", elsewhere, lease_s=6.0))
    with pytest.raises(StudyBusy, match="node-2"):
        ledger.leases.acquire("quick", Owner.current(), lease_s=6.0)
    wall[0] += 7.0
    began = time.monotonic()
    lease = ledger.leases.acquire("quick", Owner.current(), lease_s=6.0)
    assert time.monotonic() - began < 6.0
    assert ledger.trials.interrupt("quick", lease=lease) == 1
    ledger.leases.release(lease)
    invariants().check()


@pytest.mark.parametrize("jump", [3 * 86400.0, -3600.0])
def test_a_clock_that_jumps_takes_no_study_from_its_driver(ledger, wall, jump):
    """A running driver on this host keeps its study if the clock jumps three days forward or an hour back."""
    lease = ledger.leases.acquire("quick", Owner.current())
    token = begin(ledger, lease)
    wall[0] += jump
    with pytest.raises(StudyBusy):
        ledger.leases.acquire("quick", Owner.current())
    ledger.leases.renew(lease)
    ledger.trials.complete("quick", "phase1", key=TRIAL.key, token=token, metrics={"val_accuracy": 0.5}, lease=lease)
    assert ledger.trials.get(TRIAL.key).state is TrialState.COMPLETE


@pytest.mark.parametrize("jump", [3 * 86400.0, -3600.0])
def test_a_clock_that_jumps_takes_no_study_from_another_host_that_renews(ledger, wall, jump):
    """A driver on another host that renews its lease keeps its study even if the clock jumps.

    A driver that waits for the lease notices the renewal and is rejected.
    """
    import threading

    elsewhere = replace(Owner.current(), host="node-2", boot_id="another-kernel", pid_namespace="pid:[1]")
    lease = ledger.leases.acquire("quick", elsewhere, lease_s=1.2)
    wall[0] += jump
    timer = threading.Timer(0.1, ledger.leases.renew, args=(lease,))
    timer.start()
    with pytest.raises(StudyBusy, match="node-2"):
        ledger.leases.acquire("quick", Owner.current(), lease_s=1.2)
    timer.join()
