"""Fits that lose their process in the middle: what was written stays, the rest is done by another attempt."""

import signal
from pathlib import Path

import pytest

from nefstudy.ledger import Ledger, TrialState

from .conftest import NO_MLFLOW, SLOW_SCRIPT, Invariants, values_of
from .processes import actor_of, below, ended, shards_of, wait_until

pytestmark = [pytest.mark.fault, pytest.mark.ray, pytest.mark.slow, pytest.mark.nightly, pytest.mark.timeout(900)]


def written(root: Path) -> dict[Path, int]:
    """When each shard that has its receipt was written, in ns."""
    receipts = root.glob("neural_datasets/*/rung-*/shard-*.json")
    return {shard: shard.stat().st_mtime_ns for receipt in receipts for shard in [receipt.with_suffix(".arrow")]}


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "preempted"])
@pytest.mark.parametrize("workers", [0, 1], ids=["trial-actor", "train-worker"])
def test_a_fit_ended_in_its_middle_goes_on(workers, how, *, start_driver, invariants, unharmed, tmp_path):
    """kill -9 of the Tune actor, or of a worker of its Ray Train group, or the SIGTERM of a machine that is taken
    away, once a shard is written: attempt 2 ends the trial without writing that shard again, and bytes and numbers
    are those of a run without a fault.
    """
    driver = start_driver("--workers", workers, "--concurrency", 1, script=SLOW_SCRIPT, **NO_MLFLOW)
    (row,) = driver.wait_for(1, state=TrialState.RUNNING)
    wait_until(lambda: written(tmp_path), "a first shard")
    victim = below(driver.process.pid, "RayTrainWorker")[0] if workers else actor_of(tmp_path, row)
    victim.send_signal(how)
    wait_until(lambda: ended(victim), "its end", timeout=10)  # the grace of a machine that is taken away
    kept = written(tmp_path)
    assert 0 < len(kept) < 4, "the kill came in the middle"
    assert driver.end() == 0, driver.said()
    (row,) = invariants().check()
    assert (row.state, row.attempt) == (TrialState.COMPLETE, 2)
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db", read_only=True) as ledger:
        assert ledger.trials.retries("quick") == {("phase2", "digits8/siren", "worker_lost"): 1}
    assert {shard: written(tmp_path)[shard] for shard in kept} == kept, "no finished shard was written again"
    whole, mine = shards_of(unharmed), shards_of(tmp_path)
    assert len(mine) == 4
    assert mine == {path: whole[path] for path in mine}
    (place,) = values_of([row])
    assert values_of([row])[place] == values_of(Invariants(unharmed).rows())[place]
