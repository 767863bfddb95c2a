"""Tests of a study on a Ray cluster of several nodes that declare nonexistent GPUs."""

import io
import os
import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from rich.console import Console

from nefstudy.bench.noop import noop
from nefstudy.errors import BadConfig, StudyStopped
from nefstudy.ledger import Ledger, TrialRow
from nefstudy.study.cluster.connection import START_TRIES, Resources, connected_ray, trials_that_fit
from nefstudy.study.driver.session import run_study
from nefstudy.study.locations import resolve_locations
from nefstudy.study.options import StudyOptions
from nefstudy.study.plan.study_plan import StudyPlan
from nefstudy.trial.memory import MEMORY, PEAK

from ...stub_tasks import tasks_with


@pytest.fixture
def cluster(monkeypatch):
    """Return a function that starts a Ray cluster whose nodes have the given resources."""
    import shutil
    import tempfile

    import ray
    from ray.cluster_utils import Cluster

    folder = tempfile.mkdtemp(prefix="n.", dir="/tmp")  # a Unix socket's path holds about a hundred characters
    Path(folder, "ray").mkdir()
    monkeypatch.setenv("RAY_TMPDIR", folder)
    started: list[Cluster] = []

    def start(*nodes: dict[str, float]) -> Cluster:
        head = {**nodes[0], "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        started.append(cluster)
        for node in nodes[1:]:
            cluster.add_node(**node)
        ray.init(address=cluster.address, log_to_driver=False)
        return cluster

    yield start
    ray.shutdown()
    for cluster in started:
        cluster.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


class Studies:
    """A callable that runs a plan in one root and returns the rows of its trials, sorted by start time."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._locations = replace(resolve_locations(str(root), environment={}), mlflow="")

    def __call__(self, plan: StudyPlan, **options: Any) -> tuple[TrialRow, ...]:
        run_study(plan, StudyOptions(**options), locations=self._locations, console=Console(file=io.StringIO()))
        with Ledger.open(self._locations.ledger, read_only=True) as ledger:
            rows = ledger.trials.page(plan.study, limit=None).rows
        return tuple(sorted(rows, key=lambda row: row.started_at or 0.0))

    def have_ended(self, count: int) -> bool:
        if not Path(self._root, "ledger.db").exists():
            return False
        with Ledger.open(self._locations.ledger) as ledger:
            return len(ledger.trials.ends("s")) >= count


@pytest.fixture
def study(tmp_path: Path) -> Studies:
    """Return a callable that runs a plan and returns the rows of its trials, sorted by start time."""
    return Studies(tmp_path)


def at_once(rows) -> int:
    """Return the largest number of trials that ran at the same time."""
    return max(sum(one.started_at <= row.started_at < one.ended_at for one in rows) for row in rows)


def test_the_scarcest_resource_limits_the_number_of_trials() -> None:
    """How many trials fit on a cluster depends on its scarcest resource and on the number of workers per trial."""
    assert trials_that_fit(Resources(cpus=8, gpus=2), workers=0, cpus=1.0, gpus=0.0) == 8
    assert trials_that_fit(Resources(cpus=8, gpus=2), workers=0, cpus=1.0, gpus=1.0) == 2
    assert trials_that_fit(Resources(cpus=8, gpus=2), workers=3, cpus=1.0, gpus=0.0) == 2
    assert trials_that_fit(Resources(cpus=1, gpus=2), workers=2, cpus=1.0, gpus=0.5) == 0


@pytest.mark.timeout(60)  # Ray itself would try for minutes
@pytest.mark.parametrize(
    "address",
    ["nonsense", "http://127.0.0.1:8265", "127.0.0.1:9", "localhost:99999", "[::1]:9", "ray://127.0.0.1:9", "ray://["],
)
def test_an_address_without_a_ray_is_named_in_one_line(monkeypatch, address) -> None:
    """If no Ray cluster responds at RAY_ADDRESS, a one-line error names the address and explains how to fix it."""
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(BadConfig) as refused, connected_ray():
        pass
    assert re.fullmatch(rf"RAY_ADDRESS '{re.escape(address)}' .*host:port.*unset.*", str(refused.value))


@settings(max_examples=int(os.environ.get("NEFSTUDY_EXAMPLES", "200")), deadline=None)
@given(st.text(min_size=1) | st.from_regex(r"(ray://)?[a-z0-9.\[\]:-]{0,300}(:[0-9]{0,7})?(/[^\n]*)?", fullmatch=True))
def test_no_address_gives_a_traceback(address: str) -> None:
    """For any RAY_ADDRESS at which no Ray cluster responds, the error is a single line."""
    assume(address not in ("", "auto", "local") and not re.search("[\0\ud800-\udfff]", address))
    away = ConnectionRefusedError(111, "Connection refused")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ADDRESS", address)
        patch.setattr("socket.create_connection", Mock(side_effect=away))
        patch.setattr("ray.init", Mock(side_effect=ConnectionError("no Ray")))
        with pytest.raises(BadConfig) as refused, connected_ray():
            pass
    assert "\n" not in str(refused.value)
    assert str(refused.value).startswith("RAY_ADDRESS ")


def test_a_ray_that_is_late_is_started_once_more(monkeypatch) -> None:
    """If Ray fails to start, its processes are killed and Ray is started a second time."""
    started: list[subprocess.Popen[bytes]] = []

    def start(**options: object) -> None:
        with Path(str(options["_temp_dir"]), f"log-{len(started)}").open("w") as out:
            started.append(subprocess.Popen(["/bin/sleep", "600"], stdout=out))
        if len(started) == 1:
            raise Exception("The current node timed out during startup.\nMore.")  # noqa: TRY002  # as Ray does

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("ray.init", start)
    monkeypatch.setattr("ray.cluster_resources", lambda: {"CPU": 2.0})
    with connected_ray() as resources:
        assert resources == Resources(cpus=2, gpus=0)
        assert started[1].poll() is None
        started[0].wait(10)
    started[1].kill()
    started[1].wait()


def test_a_ray_that_never_starts_ends_in_one_line(monkeypatch) -> None:
    """If Ray fails to start twice, StudyStopped states the number of tries and the first line of Ray's error."""
    init = Mock(side_effect=Exception("The current node timed out during startup.\nSee the logs."))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("ray.init", init)
    with (
        pytest.raises(StudyStopped, match=r"2 tries \(The current node timed out during startup\)"),
        connected_ray(),
    ):
        pass
    assert init.call_count == START_TRIES


@pytest.mark.slow
@pytest.mark.ray
def test_later_trials_of_a_class_share_a_gpu(cluster, study, small_grid) -> None:
    """Once the peak memory of a trial with a certain width is known, two trials of that width share a GPU."""
    cluster({"num_cpus": 3, "num_gpus": 1}, {"num_cpus": 3, "num_gpus": 1})

    def measured(config, *, setting):
        import ray

        time.sleep(1)
        result = noop(config, setting=setting)
        assigned = ray.get_runtime_context().get_assigned_resources().get("GPU", 0.0)
        return replace(result, metrics={**result.metrics, PEAK: 100.0, MEMORY: 300.0, "gpus": assigned})

    rows = study(StudyPlan(study="s", cells=(replace(small_grid, replicates=2),), tasks=tasks_with(measured)))
    assert len(rows) == 24
    for hidden in (8, 16):
        gpus = [row.metrics["gpus"] for row in rows if row.parameters["hidden"] == hidden]
        assert gpus[0] == 1.0
        assert gpus[-6:] == [0.5] * 6
        assert gpus == sorted(gpus, reverse=True)


@pytest.mark.slow
@pytest.mark.ray
def test_concurrency_follows_added_nodes(cluster, study, small_grid, tmp_path) -> None:
    """When CPUs are added to the cluster during a study, more trials run at once."""
    nodes = cluster({"num_cpus": 1})
    running, seen = tmp_path / "running", tmp_path / "seen"
    running.mkdir()

    def slow(config, *, setting):
        own = running / str(os.getpid())
        own.touch()
        ends = time.monotonic() + 6  # in all long enough for an actor of the new node to start
        while time.monotonic() < ends and not seen.exists():
            if len(list(running.iterdir())) > 1:
                seen.touch()  # nothing is left to wait for
            time.sleep(0.02)
        own.unlink()
        return noop(config, setting=setting)

    plan = StudyPlan(study="s", cells=(small_grid,), tasks=tasks_with(slow))
    with ThreadPoolExecutor(1) as pool:  # only the main thread can add a node
        ended = pool.submit(study, plan)
        while not study.have_ended(2):
            time.sleep(0.5)
        nodes.add_node(num_cpus=2)
        added = time.time()
        rows = ended.result()
    before = [row for row in rows if row.started_at < added]
    assert at_once(before) == 1
    assert at_once(rows) > 1


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.parametrize(("spread", "nodes"), [(True, 2), (False, 1)])
def test_workers_of_a_trial_spread_when_asked(cluster, study, small_grid, spread, nodes) -> None:
    """Two workers of a trial share a node if they fit on it, unless `spread` is set."""
    cluster({"num_cpus": 2}, {"num_cpus": 2})

    def placed(config, *, setting):
        import ray
        from torch import distributed

        node_ids = [None] * setting.world.size
        distributed.all_gather_object(node_ids, ray.get_runtime_context().get_node_id())
        result = noop(config, setting=setting)
        return replace(result, metrics={**result.metrics, "nodes": float(len(set(node_ids)))})

    one = {"init": "shared", "hidden": 8, "steps": 2}
    space = {name: type(values)((one[name],)) for name, values in small_grid.space.items()}
    rows = study(
        StudyPlan(study="s", cells=(replace(small_grid, space=space),), tasks=tasks_with(placed)),
        workers=2,
        spread=spread,
    )
    assert [(row.state, row.metrics.get("nodes"), row.error) for row in rows] == [("COMPLETE", nodes, None)]
