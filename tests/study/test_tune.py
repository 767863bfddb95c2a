"""Laws of the study on a real Ray: every trial once, on all that the cluster has at the time."""

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
from nefstudy.study import tune
from nefstudy.study.options import StudyOptions
from nefstudy.study.place import Place, resolve_place
from nefstudy.study.plan import CellPlan, StudyPlan
from nefstudy.study.run import StudyRun
from nefstudy.study.session import run_study
from nefstudy.study.space import GRID_FIXED, Choice
from nefstudy.tasks.progress import Working

from ..doing import doing

pytestmark = [pytest.mark.slow, pytest.mark.ray]


@pytest.fixture
def place(tmp_path):
    """A root without MLflow: the export has its own tests."""
    found = resolve_place(str(tmp_path), environment={})
    return type(found)(found.root, found.ledger, "")


def quiet() -> Console:
    return Console(file=io.StringIO())


def test_a_study_larger_than_a_tuner_runs_every_trial_once(place, small_grid, monkeypatch) -> None:
    """Tuners follow one another until nothing is left; nothing of them stays under the root."""
    monkeypatch.setattr(tune, "TRIALS_OF_A_TUNER", 5)
    ending = run_study(
        StudyPlan(study="s", cells=(small_grid,), tasks=doing(noop)), StudyOptions(), place=place, console=quiet()
    )
    assert (ending.state, ending.complete) == ("finished", small_grid.planned)
    with Ledger.open(place.ledger, read_only=True) as ledger:
        rows = ledger.trials.page("s", limit=None).rows
    assert {(row.state, row.attempt) for row in rows} == {(TrialState.COMPLETE, 1)}
    assert len(rows) == small_grid.planned
    assert not Path(place.root, scratch_path("s")).exists()


def test_a_driver_removes_no_scratch_of_its_successor(tmp_path) -> None:
    """A driver that wakes after its lease clears up after itself and those before it only."""
    leases = [Lease("s", epoch, nonce="", owner=Owner.here(), lease_s=1.0) for epoch in (1, 2, 10)]
    for lease in leases:
        Path(tune.storage_under(str(tmp_path), lease)).mkdir(parents=True)
    tune.clear_storage(str(tmp_path), leases[1])
    assert [path.name for path in Path(tmp_path, scratch_path("s")).iterdir()] == ["10"]


def test_a_root_may_be_a_uri(tmp_path) -> None:
    """A study whose root is a pyarrow URI fits, reads and keeps all it makes there."""
    place = Place(f"file://{tmp_path}/root", f"sqlite:///{tmp_path}/ledger.db", "")
    cell = CellPlan(
        phase="phase2",
        signals=SignalsConfig(name="digits8", subset=300),
        field="siren",
        space={"steps": Choice((1, 2))},
        fixed={**GRID_FIXED["siren"], "hidden": 8, "init": "shared"},
        classifier=ClassifierConfig(name="mlp", epochs=1),
    )
    ending = run_study(StudyPlan(study="s", cells=(cell,)), StudyOptions(), place=place, console=quiet())
    assert (ending.state, ending.complete) == ("finished", 2)
    with Ledger.open(place.ledger, read_only=True) as ledger:
        (row, _) = ledger.trials.page("s", limit=None).rows
    dataset = open_neural_dataset(place.root, row.dataset)
    assert dataset.rungs == (1, 2)
    assert (tmp_path / "root" / "trials" / row.key / "reconstruction.png").is_file()


def test_a_process_is_used_again_unless_a_trial_changed_it_or_failed_in_it(place, small_grid) -> None:
    """Healthy trials share few processes; each trial that left a default dtype, a thread or a bug had its last one."""

    def marked(config, *, setting):
        assert torch.get_default_dtype() is torch.float32
        if config.dataset.init.name == "random" and config.steps == 4:
            torch.set_default_dtype(torch.float64)
        if config.dataset.init.name == "random" and config.steps == 2:
            threading.Thread(target=time.sleep, args=(5,), name="left").start()
        if config.dataset.init.name == "random" and config.steps == 1:
            raise ValueError(os.getpid())
        return replace(noop(config, setting=setting), fingerprint={"pid": str(os.getpid())})

    options = StudyOptions(concurrency=1)
    run_study(StudyPlan(study="s", cells=(small_grid,), tasks=doing(marked)), options, place=place, console=quiet())
    with Ledger.open(place.ledger, read_only=True) as ledger:
        rows = sorted(ledger.trials.page("s", limit=None).rows, key=lambda row: row.ended_at)
    assert [row.state for row in rows if row.parameters["init"] == "shared"] == [TrialState.COMPLETE] * 6
    ended = [(row.fingerprint.get("pid") or row.error.split()[-1], row.parameters["init"]) for row in rows]
    for (pid, start), (following, _) in itertools.pairwise(ended):
        assert (pid == following) == (start == "shared"), ended
    assert len({pid for pid, start in ended if start == "random"}) == 6, "each was the last of its process"


def test_short_trials_run_side_by_side(place, small_grid) -> None:
    """On two CPUs two trials of a second run at once, although actors take longer than that to start."""

    def second(config, *, setting):
        time.sleep(1)
        return noop(config, setting=setting)

    run_study(
        StudyPlan(study="s", cells=(small_grid,), tasks=doing(second)), StudyOptions(), place=place, console=quiet()
    )
    with Ledger.open(place.ledger, read_only=True) as ledger:
        rows = ledger.trials.page("s", limit=None).rows
    at_once = [sum(one.started_at <= row.started_at < one.ended_at for one in rows) for row in rows]
    assert max(at_once) == min(len(os.sched_getaffinity(0)), 4), "as many as CPUs, at most one of each ladder first"


@pytest.mark.parametrize("workers", [0, 1], ids=["trial-actor", "train-worker"])
def test_progress_reaches_the_driver_while_a_trial_runs(place, small_grid, monkeypatch, workers) -> None:
    """What the trial's process or the first rank of its group says reaches the driver, who may be slow to listen."""
    heard = []

    def progressed(_run, _trial_id, progress) -> None:
        heard.append(progress.done)
        time.sleep(6)  # the trial says more, and ends, meanwhile

    monkeypatch.setattr(StudyRun, "progressed", progressed)

    def telling(config, *, setting):
        for done in (1, 2):
            time.sleep(2.2)
            setting.on_progress(Working("fitting", done, 3, 1.0))
        return noop(config, setting=setting)

    one = {"init": "shared", "hidden": 8, "steps": 2}
    space = {name: type(values)((one[name],)) for name, values in small_grid.space.items()}
    plan = StudyPlan(study="s", cells=(replace(small_grid, space=space),), tasks=doing(telling))
    ending = run_study(plan, StudyOptions(workers=workers), place=place, console=quiet())
    assert (ending.state, ending.complete) == ("finished", 1)
    assert heard in ([1], [1, 2]), "what is overtaken by the result may stay unsaid"
