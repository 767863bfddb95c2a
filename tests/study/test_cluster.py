"""Laws of a study on a Ray of several nodes, whose GPUs are declared and not there."""

import io
import os
import re
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from rich.console import Console

from nefstudy.bench.noop import noop
from nefstudy.errors import BadConfig, StudyStopped
from nefstudy.ledger import Ledger, TrialRow
from nefstudy.study.cluster import START_TRIES, Resources, connected_ray, trials_that_fit
from nefstudy.study.options import StudyOptions
from nefstudy.study.place import resolve_place
from nefstudy.study.plan import StudyPlan
from nefstudy.study.session import run_study
from nefstudy.trial.memory import MEMORY, PEAK

from ..doing import doing


@pytest.fixture
def cluster(monkeypatch):
    """Starts a Ray of nodes with these resources, to which others can be added."""
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
        made = Cluster(initialize_head=True, head_node_args=head)
        started.append(made)
        for node in nodes[1:]:
            made.add_node(**node)
        ray.init(address=made.address, log_to_driver=False)
        return made

    yield start
    ray.shutdown()
    for made in started:
        made.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def study(tmp_path) -> Callable[..., tuple[TrialRow, ...]]:
    """Runs a plan and gives its rows in the order in which they started."""
    found = resolve_place(str(tmp_path), environment={})
    place = replace(found, mlflow="")

    def run(plan: StudyPlan, **options) -> tuple[TrialRow, ...]:
        run_study(plan, StudyOptions(**options), place=place, console=Console(file=io.StringIO()))
        with Ledger.open(place.ledger, read_only=True) as ledger:
            rows = ledger.trials.page(plan.study, limit=None).rows
        return tuple(sorted(rows, key=lambda row: row.started_at or 0.0))

    def has_ended(count: int) -> bool:
        if not Path(tmp_path, "ledger.db").exists():
            return False
        with Ledger.open(place.ledger) as ledger:
            return len(ledger.trials.ends("s")) >= count

    run.place_has_ended = has_ended
    return run


def at_once(rows) -> int:
    """The largest number of trials that ran at the same moment."""
    return max(sum(one.started_at <= row.started_at < one.ended_at for one in rows) for row in rows)


def test_as_many_trials_fit_as_their_scarcest_resource_allows() -> None:
    """Workers multiply what a trial takes; what is not asked for does not bound."""
    assert trials_that_fit(Resources(cpus=8, gpus=2), workers=0, cpus=1.0, gpus=0.0) == 8
    assert trials_that_fit(Resources(cpus=8, gpus=2), workers=0, cpus=1.0, gpus=1.0) == 2
    assert trials_that_fit(Resources(cpus=8, gpus=2), workers=3, cpus=1.0, gpus=0.0) == 2
    assert trials_that_fit(Resources(cpus=1, gpus=2), workers=2, cpus=1.0, gpus=0.5) == 0


@pytest.mark.timeout(60)  # of minutes that Ray itself would try for
@pytest.mark.parametrize(
    "address",
    ["nonsense", "http://127.0.0.1:8265", "127.0.0.1:9", "localhost:99999", "[::1]:9", "ray://127.0.0.1:9", "ray://["],
)
def test_an_address_without_a_ray_is_named_in_one_line(monkeypatch, address) -> None:
    """A RAY_ADDRESS that is none, or at which no Ray answers, ends in one line that names it and what to do."""
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(BadConfig) as told, connected_ray():
        pass
    assert re.fullmatch(rf"RAY_ADDRESS '{re.escape(address)}' .*host:port.*unset.*", str(told.value))


@settings(max_examples=int(os.environ.get("NEFSTUDY_EXAMPLES", "200")), deadline=None)
@given(st.text(min_size=1) | st.from_regex(r"(ray://)?[a-z0-9.\[\]:-]{0,300}(:[0-9]{0,7})?(/[^\n]*)?", fullmatch=True))
def test_no_address_is_a_traceback(address: str) -> None:
    """Whatever RAY_ADDRESS is, where no Ray answers the command ends with one printable line."""
    assume(address not in ("", "auto", "local") and not re.search("[\0\ud800-\udfff]", address))
    away = ConnectionRefusedError(111, "Connection refused")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ADDRESS", address)
        patch.setattr("socket.create_connection", Mock(side_effect=away))
        patch.setattr("ray.init", Mock(side_effect=ConnectionError("no Ray")))
        with pytest.raises(BadConfig) as told, connected_ray():
            pass
    assert "\n" not in str(told.value)
    assert str(told.value).startswith("RAY_ADDRESS ")


def test_a_ray_that_is_late_is_started_once_more(monkeypatch) -> None:
    """A first start may fail on a busy machine: what it left is killed, and a second one is made."""
    started = []

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
    """After a second try the command ends with what Ray said, and with what can be done."""
    init = Mock(side_effect=Exception("The current node timed out during startup.\nSee the logs."))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("ray.init", init)
    with (
        pytest.raises(StudyStopped, match=r"in 2 tries \(The current node timed out during startup\); free .* again$"),
        connected_ray(),
    ):
        pass
    assert init.call_count == START_TRIES


@pytest.mark.slow
@pytest.mark.ray
def test_later_trials_of_a_class_share_a_gpu(cluster, study, small_grid) -> None:
    """The first of each width gets a GPU of its own; a peak of a third of it then puts two trials on one."""
    cluster({"num_cpus": 3, "num_gpus": 1}, {"num_cpus": 3, "num_gpus": 1})

    def measured(config, *, setting):
        import ray

        time.sleep(1)
        result = noop(config, setting=setting)
        assigned = ray.get_runtime_context().get_assigned_resources().get("GPU", 0.0)
        return replace(result, metrics={**result.metrics, PEAK: 100.0, MEMORY: 300.0, "gpus": assigned})

    rows = study(StudyPlan(study="s", cells=(replace(small_grid, replicates=2),), tasks=doing(measured)))
    assert len(rows) == 24
    for hidden in (8, 16):
        gpus = [row.metrics["gpus"] for row in rows if row.parameters["hidden"] == hidden]
        assert gpus[0] == 1.0
        assert gpus[-6:] == [0.5] * 6
        assert gpus == sorted(gpus, reverse=True)


@pytest.mark.slow
@pytest.mark.ray
def test_concurrency_follows_nodes_that_come(cluster, study, small_grid) -> None:
    """One trial at a time on one CPU; two more CPUs in mid-study, and more run at once."""
    made = cluster({"num_cpus": 1})

    def slow(config, *, setting):
        time.sleep(6)  # an actor of the new node is there before a trial ends
        return noop(config, setting=setting)

    plan = StudyPlan(study="s", cells=(small_grid,), tasks=doing(slow))
    with ThreadPoolExecutor(1) as pool:  # a node can be added from the main thread alone
        running = pool.submit(study, plan)
        while not study.place_has_ended(2):
            time.sleep(0.5)
        made.add_node(num_cpus=2)
        added = time.time()
        rows = running.result()
    before = [row for row in rows if row.started_at < added]
    assert at_once(before) == 1
    assert at_once(rows) > 1


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.parametrize(("spread", "nodes"), [(True, 2), (False, 1)])
def test_workers_of_a_trial_spread_when_asked(cluster, study, small_grid, spread, nodes) -> None:
    """Two workers fit one node; with `spread` they take both."""
    cluster({"num_cpus": 2}, {"num_cpus": 2})

    def placed(config, *, setting):
        import ray
        from torch import distributed

        found = [None] * setting.world.size
        distributed.all_gather_object(found, ray.get_runtime_context().get_node_id())
        result = noop(config, setting=setting)
        return replace(result, metrics={**result.metrics, "nodes": float(len(set(found)))})

    one = {"init": "shared", "hidden": 8, "steps": 2}
    space = {name: type(values)((one[name],)) for name, values in small_grid.space.items()}
    rows = study(
        StudyPlan(study="s", cells=(replace(small_grid, space=space),), tasks=doing(placed)), workers=2, spread=spread
    )
    assert [(row.state, row.metrics.get("nodes"), row.error) for row in rows] == [("COMPLETE", nodes, None)]
