"""Tests of studies on a cluster that loses a worker node or its head node."""

import psutil
import pytest

from nefstudy.ledger import TrialState

from ..e2e.ray_head import RayHead, ray_head, ray_node
from .driver import NO_MLFLOW, SLOW_SCRIPT
from .invariants import Invariants
from .processes import actor_of, below, ended, kill_all_of, shards_of, wait_until

pytestmark = [pytest.mark.fault, pytest.mark.ray, pytest.mark.slow, pytest.mark.nightly, pytest.mark.timeout(900)]


def environment_on(head: RayHead) -> dict[str, str]:
    """Return the environment of a driver that uses a cluster."""
    return {name: head.environment[name] for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")} | {
        "RAY_ADDRESS": head.address,
        **NO_MLFLOW,
    }


def complete(rows) -> dict:
    return {row.key: (row.attempt, row.ended_at) for row in rows if row.state is TrialState.COMPLETE}


def test_trials_of_a_lost_node_move_and_its_orphan_changes_nothing(start_driver, invariants, unharmed, tmp_path):
    """If the second node's raylet is killed during a fit, attempt 2 completes the trial on the first node.

    The trial's former worker is suspended and resumes only after the trial has completed: there is still one row,
    and the bytes equal those of a fault-free run.
    """
    with ray_head(cpus=1) as head, ray_node(head) as node:
        raylets = wait_until(lambda: below(node, "raylet/raylet"), "the second node")
        raylet = min(raylets, key=psutil.Process.create_time)  # one that forks is seen twice for a moment
        driver = start_driver("--replicates", 4, script=SLOW_SCRIPT, **environment_on(head))

        def fitting_there():
            for row in driver.wait_for(1, state=TrialState.RUNNING):
                actor = actor_of(tmp_path, row) if row.state is TrialState.RUNNING else None
                shards = list((tmp_path / "neural_datasets" / row.dataset).glob("rung-*/shard-*.json"))
                if actor is not None and actor.ppid() == raylet.pid and 0 < len(shards) < 4:
                    return row, actor
            return None

        row, orphan = wait_until(fitting_there, "a fit on the second node")
        raylet.kill()
        orphan.suspend()  # only now: the kernel wakes a stopped process when its group loses its parent
        try:
            wait_until(lambda: row.key in complete(invariants().rows()), "the trial on the first node")
            after = complete(invariants().rows())[row.key]
        finally:
            orphan.resume()
        assert driver.end() == 0, driver.output()
        wait_until(lambda: ended(orphan), "the orphan's end", timeout=60)
    rows = invariants().check(reference=Invariants(unharmed).rows())
    assert complete(rows)[row.key] == after
    assert after[0] == 2
    assert shards_of(tmp_path) == shards_of(unharmed)


def test_a_lost_head_costs_only_trials_in_flight(start_driver, invariants, unharmed, tmp_path):
    """If all processes of the head node are killed, the driver ends and complete trials are kept.

    A rerun on a new cluster completes the study.
    """
    with ray_head() as head:
        first = start_driver("--replicates", 4, script=SLOW_SCRIPT, **environment_on(head))
        first.wait_for(1)
        kill_all_of(head.pid)
        assert first.end(240) != 0
    done = complete(invariants().rows())
    assert 1 <= len(done) < 4
    with ray_head() as head:
        again = start_driver("--replicates", 4, script=SLOW_SCRIPT, **environment_on(head))
        assert again.end() == 0, again.output()
    rows = invariants().check(acked=set(done), reference=Invariants(unharmed).rows())
    assert {key: complete(rows)[key] for key in done} == done
    assert shards_of(tmp_path) == shards_of(unharmed)
