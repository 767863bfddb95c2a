"""Laws of a study on a Ray of several nodes, whose GPUs are declared and not there."""

import io
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from nefstudy.bench.noop import noop
from nefstudy.errors import BadConfig
from nefstudy.ledger import Ledger, Owner, TrialRow
from nefstudy.study.cluster import Resources, _own_folder, connected_ray, trials_that_fit
from nefstudy.study.options import StudyOptions
from nefstudy.study.place import resolve_place
from nefstudy.study.plan import StudyPlan
from nefstudy.study.session import run_study
from nefstudy.trial.memory import MEMORY, PEAK


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


def test_what_killed_drivers_left_of_their_ray_goes_with_the_next(tmp_path, monkeypatch) -> None:
    """A directory goes when its driver is known to be gone; a living driver's stays, and what is none of ours."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    here = Owner.here()
    owners = {"nef-dead": replace(here, process_start=1).to_json(), "nef-lives": here.to_json(), "nef-x": "[]"}
    for name, text in owners.items():
        (tmp_path / name / "session").mkdir(parents=True)
        (tmp_path / name / "driver.json").write_text(text)
    (tmp_path / "nef-other").mkdir()
    made = Path(_own_folder())
    assert {path.name for path in tmp_path.iterdir()} == {"nef-lives", "nef-x", "nef-other", made.name}
    assert not Owner.from_json((made / "driver.json").read_text()).is_gone


def test_what_a_dying_ray_still_writes_goes_with_a_later_sweep(tmp_path, monkeypatch) -> None:
    """A directory that cannot be emptied yet keeps its owner's name, by which the next driver finds it."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    left = tmp_path / "nef-dead"
    (left / "session" / "logs").mkdir(parents=True)
    (left / "driver.json").write_text(replace(Owner.here(), process_start=1).to_json())
    with monkeypatch.context() as busy:
        busy.setattr("shutil.rmtree", lambda *_, **__: None)  # as if each file came back at once
        _own_folder()
    assert (left / "driver.json").exists()
    _own_folder()
    assert not left.exists()


@pytest.fixture
def study(tmp_path) -> Callable[..., tuple[TrialRow, ...]]:
    """Runs a plan and gives its rows in the order in which they started."""
    found = resolve_place(str(tmp_path), environment={})
    place = replace(found, mlflow="")

    def run(plan: StudyPlan, **options) -> tuple[TrialRow, ...]:
        run_study(plan, StudyOptions(**options), place=place, console=Console(file=io.StringIO()))
        with Ledger.open(place.ledger, read_only=True) as ledger:
            rows = ledger.trials(plan.study, limit=None).rows
        return tuple(sorted(rows, key=lambda row: row.started_at or 0.0))

    def has_ended(count: int) -> bool:
        if not Path(tmp_path, "ledger.db").exists():
            return False
        with Ledger.open(place.ledger) as ledger:
            return len(ledger.ends("s")) >= count

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


@pytest.mark.parametrize(
    "address",
    [
        "nonsense",
        "http://127.0.0.1:8265",
        pytest.param("ray://127.0.0.1:9", marks=[pytest.mark.slow, pytest.mark.filterwarnings("ignore:Ray Client")]),
    ],
)
def test_an_address_without_a_ray_is_named_in_one_line(monkeypatch, address) -> None:
    """A RAY_ADDRESS that is none, or at which nobody answers, ends in one line that names it and what to do."""
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(BadConfig) as told, connected_ray():
        pass
    assert re.fullmatch(rf"RAY_ADDRESS '{address}' .*host:port.*unset.*", str(told.value))


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

    rows = study(StudyPlan(study="s", cells=(replace(small_grid, replicates=2),), work=measured))
    assert len(rows) == 24
    for hidden in (8, 16):
        gpus = [row.metrics["gpus"] for row in rows if row.hidden == hidden]
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

    plan = StudyPlan(study="s", cells=(small_grid,), work=slow)
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

    one = {"start": "shared", "hidden": 8, "steps": 2}
    space = {name: type(values)((one[name],)) for name, values in small_grid.space.items()}
    rows = study(StudyPlan(study="s", cells=(replace(small_grid, space=space),), work=placed), workers=2, spread=spread)
    assert [(row.state, row.metrics.get("nodes"), row.error) for row in rows] == [("COMPLETE", nodes, None)]
