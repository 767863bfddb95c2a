"""One driver a study: who has the lease, when it passes on, and that no clock can take it away."""

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
    """A wall clock that can be set."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def wall(tmp_path, clock):
    """A ledger whose database clock is `clock`."""
    with Ledger.open(str(tmp_path / "wall.db"), clock=clock) as ledger:
        ledger.studies.put("digits", {}, cells={})
        yield ledger


@pytest.fixture
def dead():
    """A process of this machine that has ended."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    owner = replace(Owner.here(), pid=process.pid, process_start=Owner.of(process.pid).process_start)
    process.kill()
    process.wait()
    return owner


def test_second_driver_is_told_who_holds_the_study(ledger, owner):
    """StudyBusy names host, pid and since when; it ends a command with exit code 3."""
    ledger.leases.acquire("digits", owner)
    with pytest.raises(StudyBusy, match=rf"pid {owner.pid} on {owner.host} since \d{{4}}-\d\d-\d\d") as caught:
        ledger.leases.acquire("digits", owner)
    assert caught.value.exit_code == 3


def test_only_one_of_many_gets_the_lease(ledger, owner):
    """Of drivers that start at once exactly one drives."""
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


def test_released_study_is_free(ledger, owner):
    """Releasing leaves the study in the named state and open to the next driver."""
    lease = ledger.leases.acquire("digits", owner)
    assert ledger.studies.get("digits").state == "running"
    assert ledger.leases.holder("digits").owner == owner
    ledger.leases.release(lease, state="stopped")
    assert ledger.studies.get("digits").state == "stopped"
    assert ledger.leases.holder("digits") is None
    assert ledger.leases.acquire("digits", owner).epoch == lease.epoch + 1


def test_studies_have_leases_of_their_own(ledger, owner):
    """A driver of one study does not keep another study's driver out."""
    ledger.studies.put("other", {}, cells={})
    ledger.leases.acquire("digits", owner)
    ledger.leases.acquire("other", owner)


def test_unknown_study_has_no_lease(ledger, owner):
    """A study must be in the ledger before it is driven."""
    with pytest.raises(BadConfig, match="'nothing' is not in the ledger"):
        ledger.leases.acquire("nothing", owner)


def test_dead_process_of_this_machine_is_taken_over_at_once(ledger, owner, dead):
    """A driver that was killed here blocks nobody, however long its lease."""
    ledger.leases.acquire("digits", dead, lease_s=3600.0)
    began = time.monotonic()
    ledger.leases.acquire("digits", owner)
    assert time.monotonic() - began < 30


def test_reused_pid_is_not_the_dead_driver(ledger, owner):
    """A pid that now belongs to another process counts as dead: its start differs."""
    ledger.leases.acquire("digits", replace(owner, process_start=owner.process_start - 1), lease_s=3600.0)
    ledger.leases.acquire("digits", owner)


def test_pid_of_another_namespace_is_not_judged(ledger, owner):
    """A container's pid says nothing about ours: it holds the lease while it is heard of."""
    ledger.leases.acquire("digits", replace(owner, pid=2**22 + 1, pid_namespace="pid:[1]"), lease_s=3600.0)
    with pytest.raises(StudyBusy):
        ledger.leases.acquire("digits", owner)


def test_hung_process_of_this_machine_loses_its_lease(ledger, owner):
    """A living process that stopped renewing is taken over after the lease, and fenced."""
    lost = ledger.leases.acquire("digits", owner, lease_s=0.3)
    time.sleep(0.35)
    ledger.leases.acquire("digits", owner)
    with pytest.raises(StudyBusy):
        ledger.leases.renew(lost)


def test_other_machine_is_taken_over_after_its_lease(ledger, owner, elsewhere):
    """Another machine's driver is busy within the lease, taken over after lease and watch."""
    ledger.leases.acquire("digits", elsewhere, lease_s=3.0)
    with pytest.raises(StudyBusy, match="on node-2"):
        ledger.leases.acquire("digits", owner)
    time.sleep(3.1)
    began = time.monotonic()
    ledger.leases.acquire("digits", owner)
    assert 0.5 <= time.monotonic() - began < 3


@pytest.mark.parametrize("jump", [3 * 86400.0, -3600.0], ids=["three days ahead", "an hour back"])
@pytest.mark.parametrize("machine", ["owner", "elsewhere"])
def test_clock_jump_expires_no_lease(wall, clock, machine, jump, request):
    """A driver that renews keeps its study whatever the database's clock says."""
    lease = wall.leases.acquire("digits", request.getfixturevalue(machine), lease_s=3.0)
    with Heartbeat(wall.leases, lease) as beat:
        clock.ahead = jump
        with pytest.raises(StudyBusy):
            wall.leases.acquire("digits", Owner.here())
        time.sleep(0.1)
    assert beat.lost is None
    wall.leases.renew(lease)


@pytest.mark.parametrize("jump", [3 * 86400.0, -3600.0], ids=["three days ahead", "an hour back"])
def test_silent_machine_is_taken_over_despite_a_clock_jump(wall, clock, owner, elsewhere, jump):
    """The twin: without a heartbeat the study passes on, later at most by one lease."""
    wall.leases.acquire("digits", elsewhere, lease_s=3.0)
    clock.ahead = jump
    began = time.monotonic()
    wall.leases.acquire("digits", owner)
    assert time.monotonic() - began < 6


def test_fenced_driver_writes_nothing(ledger, owner, elsewhere, trial, dead):
    """With a lost lease every write is refused, and names the new holder."""
    made = trial()
    lost = ledger.leases.acquire("digits", dead)
    token = ledger.trials.request("digits", "phase1", record=as_record(made), lease=lost)
    ledger.leases.acquire("digits", elsewhere)
    asked = ledger.commands.append("digits", "stop")
    found = NeuralDatasetRow("d", "neural_datasets/d", rungs=(1,), bytes=1, fingerprint={})
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
        lambda: ledger.commands.settle(asked.id, lease=lost),
        lambda: ledger.datasets.put(found, lease=lost),
    ):
        with pytest.raises(StudyBusy, match="on node-2"):
            act()
    ledger.leases.release(lost, state="finished")
    assert ledger.events.last_seq() == before
    assert ledger.studies.get("digits").state == "running"


def test_heartbeat_keeps_and_reports(sqlite, owner, elsewhere):
    """A heartbeat renews until the lease is lost, then says to whom."""
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


def test_several_leases_are_checked_at_once(sqlite, owner, elsewhere):
    """The first one that was lost is named; nothing is written."""
    sqlite.studies.put("more", {}, cells={})
    leases = [sqlite.leases.acquire(study, owner) for study in ("digits", "more")]
    sqlite.leases.check_held(*leases)
    sqlite.leases.release(leases[1])
    sqlite.leases.acquire("more", elsewhere)
    before = sqlite.events.last_seq()
    with pytest.raises(StudyBusy, match="'more'"):
        sqlite.leases.check_held(*leases)
    assert sqlite.events.last_seq() == before


def test_owner_is_this_process(owner):
    """An owner names the calling process and survives its JSON."""
    assert owner.pid == os.getpid()
    assert not owner.is_gone
    assert Owner.from_json(owner.to_json()) == owner
