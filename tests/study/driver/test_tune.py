"""Tests of a study on a real Ray instance: every trial runs once, using all resources of the cluster."""

import io
import itertools
import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

from nefstudy.bench.noop import noop
from nefstudy.config import ClassifierConfig, SignalsConfig
from nefstudy.ledger import Lease, Ledger, Owner, TrialState
from nefstudy.neural_dataset.read import open_neural_dataset
from nefstudy.paths import scratch_path
from nefstudy.study.cluster import ray_directory
from nefstudy.study.cluster.connection import connected_ray
from nefstudy.study.driver import tune
from nefstudy.study.driver.run import StudyRun
from nefstudy.study.driver.session import run_study
from nefstudy.study.locations import Locations, resolve_locations
from nefstudy.study.options import StudyOptions
from nefstudy.study.plan.study_plan import CellPlan, StudyPlan
from nefstudy.study.space import GRID_FIXED, Categorical
from nefstudy.tasks.progress import TrialProgress

from ...present import present
from ...stub_tasks import tasks_with

pytestmark = [pytest.mark.slow, pytest.mark.ray]


@pytest.fixture
def locations(tmp_path):
    """Return the locations of a study, without an MLflow store because the export is tested separately."""
    return replace(resolve_locations(str(tmp_path), environment={}), mlflow="")


@pytest.fixture(scope="module", autouse=True)
def own_ray():
    """Start a local Ray instance that all studies of this module share."""
    with connected_ray():
        yield


def quiet() -> Console:
    return Console(file=io.StringIO())


def test_a_study_larger_than_a_tuner_runs_every_trial_once(locations, small_grid, monkeypatch) -> None:
    """If a study has more trials than a Ray Tune run allows, several Ray Tune runs complete the study in turn.

    They leave no scratch files under the root.
    """
    monkeypatch.setattr(tune, "TRIALS_PER_TUNER", 5)
    ending = run_study(
        StudyPlan(study="s", cells=(small_grid,), tasks=tasks_with(noop)),
        StudyOptions(),
        locations=locations,
        console=quiet(),
    )
    assert (ending.state, ending.complete) == ("finished", small_grid.planned)
    with Ledger.open(locations.ledger, read_only=True) as ledger:
        rows = ledger.trials.page("s", limit=None).rows
    assert {(row.state, row.attempt) for row in rows} == {(TrialState.COMPLETE, 1)}
    assert len(rows) == small_grid.planned
    assert not Path(locations.root, scratch_path("s")).exists()


def test_a_driver_keeps_the_scratch_files_of_its_successor(tmp_path) -> None:
    """A driver that has lost its lease removes only its own scratch files and those of earlier drivers."""
    leases = [Lease("s", epoch, nonce="", owner=Owner.current(), lease_s=1.0) for epoch in (1, 2, 10)]
    for lease in leases:
        Path(ray_directory.storage_under(str(tmp_path), lease)).mkdir(parents=True)
    ray_directory.clear_storage(str(tmp_path), leases[1])
    assert [path.name for path in Path(tmp_path, scratch_path("s")).iterdir()] == ["10"]


def test_a_root_may_be_a_uri(tmp_path) -> None:
    """A study whose root is a pyarrow URI writes and reads all its files there."""
    locations = Locations(f"file://{tmp_path}/root", f"sqlite:///{tmp_path}/ledger.db", "")
    cell = CellPlan(
        phase="phase2",
        signals=SignalsConfig(name="digits8", subset=300),
        field="siren",
        space={"steps": Categorical((1, 2))},
        fixed={**GRID_FIXED["siren"], "hidden": 8, "init": "shared"},
        classifier=ClassifierConfig(name="mlp", epochs=1),
    )
    ending = run_study(StudyPlan(study="s", cells=(cell,)), StudyOptions(), locations=locations, console=quiet())
    assert (ending.state, ending.complete) == ("finished", 2)
    with Ledger.open(locations.ledger, read_only=True) as ledger:
        (row, _) = ledger.trials.page("s", limit=None).rows
    dataset = open_neural_dataset(locations.root, present(row.dataset))
    assert dataset.rungs == (1, 2)
    assert (tmp_path / "root" / "trials" / row.key / "reconstruction.png").is_file()


def test_a_process_is_reused_unless_a_trial_changed_it_or_failed_in_it(locations, small_grid) -> None:
    """A process is reused until a trial fails, changes the default dtype or leaves a thread running.

    Such a trial is the last one of its process.
    """

    def marked(config, *, setting):
        assert torch.get_default_dtype() is torch.float32
        if config.dataset.init.name == "random" and config.steps == 4:
            torch.set_default_dtype(torch.float64)
        if config.dataset.init.name == "random" and config.steps == 2:
            threading.Thread(target=time.sleep, args=(5,), name="left").start()
        if config.dataset.init.name == "random" and config.steps == 1:
            raise ValueError(os.getpid())
        return replace(noop(config, setting=setting), fingerprint={"pid": str(os.getpid())})

    cell = replace(small_grid, space=small_grid.space | {"hidden": Categorical((8,))})
    run_study(
        StudyPlan(study="s", cells=(cell,), tasks=tasks_with(marked)),
        StudyOptions(concurrency=1),
        locations=locations,
        console=quiet(),
    )
    with Ledger.open(locations.ledger, read_only=True) as ledger:
        rows = sorted(ledger.trials.page("s", limit=None).rows, key=lambda row: present(row.ended_at))
    assert [row.state for row in rows if row.parameters["init"] == "shared"] == [TrialState.COMPLETE] * 3
    ended = [(row.fingerprint.get("pid") or present(row.error).split()[-1], row.parameters["init"]) for row in rows]
    for (pid, init), (following, _) in itertools.pairwise(ended):
        assert (pid == following) == (init == "shared"), ended
    assert len({pid for pid, init in ended if init == "random"}) == 3, "each was the last trial of its process"


def test_short_trials_run_in_parallel(locations, small_grid, tmp_path) -> None:
    """Trials run in parallel on all CPUs, up to four, even if each ends before another actor has started.

    The first trial runs alone because the others need its neural dataset. The other actors start while its actor runs
    one short trial after another, for at most two minutes, until enough trials run at the same time.
    """
    expected = min(len(os.sched_getaffinity(0)), 4)
    running, seen = tmp_path / "running", tmp_path / "seen"
    running.mkdir()

    def short(config, *, setting):
        own = running / str(os.getpid())
        own.touch()
        ends = time.monotonic() + 1
        while time.monotonic() < ends and not seen.exists():
            if len(list(running.iterdir())) >= expected:
                seen.touch()
            time.sleep(0.02)
        own.unlink()
        return noop(config, setting=setting)

    space = {"init": Categorical(("shared",)), "hidden": Categorical((8,)), "steps": Categorical(tuple(range(1, 121)))}
    plan = StudyPlan(study="s", cells=(replace(small_grid, space=space),), tasks=tasks_with(short))
    ending = run_study(plan, StudyOptions(), locations=locations, console=quiet())
    assert (ending.state, ending.complete) == ("finished", 120)
    assert seen.exists(), f"{expected} trials never ran at the same time"


@pytest.mark.parametrize("workers", [0, 1], ids=["trial-actor", "train-worker"])
def test_progress_reaches_the_driver_while_a_trial_runs(locations, small_grid, monkeypatch, workers) -> None:
    """Even a slow driver receives a trial's progress while the trial runs.

    The report comes from the trial's process or from rank 0 of its worker group.
    """
    reports = []

    def progressed(_run, _trial_id, progress) -> None:
        reports.append(progress.done)
        time.sleep(6)  # in the meantime the trial reports more and ends

    monkeypatch.setattr(StudyRun, "progressed", progressed)

    def reporting(config, *, setting):
        for done in (1, 2):
            time.sleep(2.2)
            setting.on_progress(TrialProgress("fitting", done, 3, 1.0))
        return noop(config, setting=setting)

    one = {"init": "shared", "hidden": 8, "steps": 2}
    space = {name: type(values)((one[name],)) for name, values in small_grid.space.items()}
    plan = StudyPlan(study="s", cells=(replace(small_grid, space=space),), tasks=tasks_with(reporting))
    ending = run_study(plan, StudyOptions(workers=workers), locations=locations, console=quiet())
    assert (ending.state, ending.complete) == ("finished", 1)
    assert reports in ([1], [1, 2]), "a report that the result overtakes may be dropped"
