"""Tests of fits whose process dies.

Shards that were written are kept, and the next attempt fits only the missing shards.
"""

import signal
from pathlib import Path

import pytest

from nefstudy.ledger import Ledger, TrialState

from .driver import NO_MLFLOW, SLOW_SCRIPT
from .invariants import Invariants, values_of
from .processes import actor_of, below, ended, shards_of, wait_until

pytestmark = [pytest.mark.fault, pytest.mark.ray, pytest.mark.slow, pytest.mark.nightly, pytest.mark.timeout(900)]


def written(root: Path) -> dict[Path, int]:
    """Return the modification time (ns) of each shard that has a receipt."""
    receipts = root.glob("neural_datasets/*/rung-*/shard-*.json")
    return {shard: shard.stat().st_mtime_ns for receipt in receipts for shard in [receipt.with_suffix(".arrow")]}


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "preempted"])
@pytest.mark.parametrize("workers", [0, 1], ids=["trial-actor", "train-worker"])
def test_a_killed_fit_is_resumed(workers, how, *, start_driver, invariants, unharmed, tmp_path):
    """If a fit is killed after writing a shard, attempt 2 completes the trial and keeps that shard.

    The Tune actor or a worker of its Ray Train group receives SIGKILL, or SIGTERM as on a preempted machine. Bytes
    and numbers equal those of a fault-free run.
    """
    driver = start_driver("--workers", workers, "--concurrency", 1, script=SLOW_SCRIPT, **NO_MLFLOW)
    (row,) = driver.wait_for(1, state=TrialState.RUNNING)
    wait_until(lambda: written(tmp_path), "a first shard")
    victim = below(driver.process.pid, "RayTrainWorker")[0] if workers else actor_of(tmp_path, row)
    assert victim is not None
    victim.send_signal(how)
    wait_until(lambda: ended(victim), "its end", timeout=10)  # the grace period of a preempted machine
    kept = written(tmp_path)
    assert 0 < len(kept) < 4, "the kill came in the middle"
    assert driver.end() == 0, driver.output()
    (row,) = invariants().check()
    assert (row.state, row.attempt) == (TrialState.COMPLETE, 2)
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db", read_only=True) as ledger:
        assert ledger.trials.retries("quick") == {("phase2", "digits8/siren", "worker_lost"): 1}
    assert {shard: written(tmp_path)[shard] for shard in kept} == kept, "no finished shard was written again"
    whole, mine = shards_of(unharmed), shards_of(tmp_path)
    assert len(mine) == 4
    assert mine == {path: whole[path] for path in mine}
    (ref,) = values_of([row])
    assert values_of([row])[ref] == values_of(Invariants(unharmed).rows())[ref]
