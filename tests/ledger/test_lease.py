"""Tests of leases: one driver per study, takeover from dead or silent holders, and tolerance of clock jumps."""

import os
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest

from nefstudy.errors import BadConfig, StudyBusy
from nefstudy.ledger import Heartbeat, Ledger, NeuralDatasetRow, Owner

from .records import as_record


class Clock:
    """A wall clock with an adjustable offset."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def wall(tmp_path, clock):
    """Yield a ledger whose database uses `clock` as its clock."""
    with Ledger.open(str(tmp_path / "wall.db"), clock=clock) as ledger:
        ledger.studies.put("digits", {}, cells={})
        yield ledger


@pytest.fixture
def dead():
    """Return a lease owner on this machine whose process has ended."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    owner = replace(Owner.current(), pid=process.pid, process_start=Owner.of_pid(process.pid).process_start)
    process.kill()
    process.wait()
    return owner


def test_second_driver_gets_the_name_of_the_holder(ledger, owner):
    """If a lease is held, acquiring it raises StudyBusy, which names the holder's pid, host and start time.

    Its exit code is 3.
    """
    ledger.leases.acquire("digits", owner)
    with pytest.raises(StudyBusy, match=rf"{owner.pid} .*{owner.host} .*\d{{4}}-\d\d-\d\d") as caught:
        ledger.leases.acquire("digits", owner)
    assert caught.value.exit_code == 3


def test_only_one_of_several_drivers_gets_the_lease(ledger, owner):
    """If several drivers start at the same time, exactly one of them gets the lease."""
    outcomes: list[object] = []

    def drive() -> None:
        try:
            outcomes.append(ledger.leases.acquire("digits", owner))
        except StudyBusy as error:
            outcomes.append(error)

    threads = [threading.Thread(target=drive) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(not isinstance(outcome, StudyBusy) for outcome in outcomes) == 1
    assert len(outcomes) == 4


def test_released_lease_can_be_acquired(ledger, owner):
    """Releasing a lease sets the study's state and lets the next driver acquire it."""
    lease = ledger.leases.acquire("digits", owner)
    assert ledger.studies.get("digits").state == "running"
    assert ledger.leases.holder("digits").owner == owner
    ledger.leases.release(lease, state="stopped")
    assert ledger.studies.get("digits").state == "stopped"
    assert ledger.leases.holder("digits") is None
    assert ledger.leases.acquire("digits", owner).epoch == lease.epoch + 1


def test_leases_are_per_study(ledger, owner):
    """A lease on one study does not block another study."""
    ledger.studies.put("other", {}, cells={})
    ledger.leases.acquire("digits", owner)
    ledger.leases.acquire("other", owner)


def test_unknown_study_has_no_lease(ledger, owner):
    """Acquiring a lease on a study that does not exist raises BadConfig."""
    with pytest.raises(BadConfig, match="'nothing'"):
        ledger.leases.acquire("nothing", owner)


def test_dead_process_of_this_machine_is_taken_over_at_once(ledger, owner, dead):
    """The lease of a killed process on this machine is taken over at once, even if it has not expired."""
    ledger.leases.acquire("digits", dead, lease_s=3600.0)
    began = time.monotonic()
    ledger.leases.acquire("digits", owner)
    assert time.monotonic() - began < 30


def test_reused_pid_is_not_the_dead_driver(ledger, owner):
    """A lease's holder counts as dead if its pid now belongs to a process with another start time."""
    ledger.leases.acquire("digits", replace(owner, process_start=owner.process_start - 1), lease_s=3600.0)
    ledger.leases.acquire("digits", owner)


def test_pid_of_another_namespace_is_not_looked_up(ledger, owner):
    """A driver in another pid namespace keeps its lease, although no process here has its pid."""
    ledger.leases.acquire("digits", replace(owner, pid=2**22 + 1, pid_namespace="pid:[1]"), lease_s=3600.0)
    with pytest.raises(StudyBusy):
        ledger.leases.acquire("digits", owner)


def test_pid_of_another_namespace_is_judged_by_its_renewals(ledger, owner, monkeypatch):
    """A driver in another pid namespace keeps its lease as long as it renews the lease.

    Once it stops renewing, the lease is taken over.
    """
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    lease = ledger.leases.acquire("digits", replace(owner, pid=2**22 + 1, pid_namespace="pid:[1]"), lease_s=60.0)
    for _ in range(3):
        now += 59.0
        with pytest.raises(StudyBusy):
            ledger.leases.acquire("digits", owner)
        ledger.leases.renew(lease)
    now += 61.0
    assert ledger.leases.acquire("digits", owner).epoch == lease.epoch + 1
    with pytest.raises(StudyBusy, match=f"pid {owner.pid} "):
        ledger.leases.renew(lease)


def test_hung_process_of_this_machine_loses_its_lease(ledger, owner):
    """If a running process stops renewing its lease, the lease is taken over when it expires.

    The process can then no longer renew the lease.
    """
    lost = ledger.leases.acquire("digits", owner, lease_s=0.3)
    time.sleep(0.35)
    ledger.leases.acquire("digits", owner)
    with pytest.raises(StudyBusy):
        ledger.leases.renew(lost)


def test_other_machine_is_taken_over_after_its_lease(ledger, owner, elsewhere):
    """The lease of a driver on another machine is taken over only after the lease has expired.

    The new driver first waits to see whether a heartbeat arrives.
    """
    ledger.leases.acquire("digits", elsewhere, lease_s=3.0)
    with pytest.raises(StudyBusy, match="node-2"):
        ledger.leases.acquire("digits", owner)
    time.sleep(3.1)
    began = time.monotonic()
    ledger.leases.acquire("digits", owner)
    assert 0.5 <= time.monotonic() - began < 3


@pytest.mark.parametrize("jump", [3 * 86400.0, -3600.0], ids=["three days ahead", "an hour back"])
@pytest.mark.parametrize("machine", ["owner", "elsewhere"])
def test_clock_jump_expires_no_lease(wall, clock, machine, jump, request):
    """A driver that renews its lease keeps it when the database's clock jumps."""
    lease = wall.leases.acquire("digits", request.getfixturevalue(machine), lease_s=3.0)
    with Heartbeat(wall.leases, lease) as beat:
        clock.ahead = jump
        with pytest.raises(StudyBusy):
            wall.leases.acquire("digits", Owner.current())
        time.sleep(0.1)
    assert beat.lost is None
    wall.leases.renew(lease)


@pytest.mark.parametrize("jump", [3 * 86400.0, -3600.0], ids=["three days ahead", "an hour back"])
def test_silent_machine_is_taken_over_despite_a_clock_jump(wall, clock, owner, elsewhere, jump):
    """Despite a clock jump, a holder that does not renew its lease loses it in less than two lease durations."""
    wall.leases.acquire("digits", elsewhere, lease_s=3.0)
    clock.ahead = jump
    began = time.monotonic()
    wall.leases.acquire("digits", owner)
    assert time.monotonic() - began < 6


def test_fenced_driver_writes_nothing(ledger, owner, elsewhere, trial, dead):
    """After a driver has lost its lease, each of its writes raises StudyBusy, which names the new holder."""
    made = trial()
    lost = ledger.leases.acquire("digits", dead)
    token = ledger.trials.request("digits", "phase1", record=as_record(made), lease=lost)
    ledger.leases.acquire("digits", elsewhere)
    command = ledger.commands.append("digits", "stop")
    dataset = NeuralDatasetRow("d", "neural_datasets/d", rungs=(1,), bytes=1, fingerprint={})
    before = ledger.events.last_seq()
    for act in (
        lambda: ledger.trials.request("digits", "phase1", record=as_record(trial(1)), lease=lost),
        lambda: ledger.trials.start("digits", "phase1", key=made.key, token=token, lease=lost),
        lambda: ledger.trials.complete("digits", "phase1", key=made.key, token=token, metrics={}, lease=lost),
        lambda: ledger.trials.fail("digits", "phase1", key=made.key, token=token, cause="bug", error="", lease=lost),
        lambda: ledger.trials.interrupt("digits", lease=lost),
        lambda: ledger.trials.reuse("digits", "phase1", record=as_record(made), lease=lost),
        lambda: ledger.leases.renew(lost),
        lambda: ledger.studies.set_state("digits", "paused", lease=lost),
        lambda: ledger.commands.settle(command.id, lease=lost),
        lambda: ledger.datasets.put(dataset, lease=lost),
    ):
        with pytest.raises(StudyBusy, match="node-2"):
            act()
    ledger.leases.release(lost, state="finished")
    assert ledger.events.last_seq() == before
    assert ledger.studies.get("digits").state == "running"


def test_heartbeat_renews_and_reports_the_loss(sqlite, owner, elsewhere):
    """A heartbeat renews its lease until the lease is lost, and then names the new holder."""
    lease = sqlite.leases.acquire("digits", owner, lease_s=2.0)
    with Heartbeat(sqlite.leases, lease) as beat:
        time.sleep(2.5)
        assert beat.lost is None
        sqlite.leases.release(lease)
        sqlite.leases.acquire("digits", elsewhere)
        deadline = time.monotonic() + 30
        while beat.lost is None and time.monotonic() < deadline:
            time.sleep(0.05)
        assert "node-2" in str(beat.lost)


def test_several_leases_are_checked_together(sqlite, owner, elsewhere):
    """If one of several leases is lost, checking them together raises an error naming that lease's study.

    The check writes nothing.
    """
    sqlite.studies.put("more", {}, cells={})
    leases = [sqlite.leases.acquire(study, owner) for study in ("digits", "more")]
    sqlite.leases.check_held(*leases)
    sqlite.leases.release(leases[1])
    sqlite.leases.acquire("more", elsewhere)
    before = sqlite.events.last_seq()
    with pytest.raises(StudyBusy, match="'more'"):
        sqlite.leases.check_held(*leases)
    assert sqlite.events.last_seq() == before


def test_current_owner_is_this_process(owner):
    """The current owner is the calling process, and a JSON round trip does not change it."""
    assert owner.pid == os.getpid()
    assert not owner.has_ended
    assert Owner.from_json(owner.to_json()) == owner
