"""Laws of disk: the estimate is what a fit writes; a study stops while there is room, and says how to go on."""

import numpy as np
import pytest

from nefstudy.config import FieldConfig, FitConfig, NeuralDatasetConfig, SignalsConfig, TrialConfig
from nefstudy.fields.catalog import build, complete
from nefstudy.neural_dataset.write import finish_neural_dataset, write_neural_dataset
from nefstudy.signals.catalog import load_signals
from nefstudy.storage import Storage
from nefstudy.study.cost import SignalSize
from nefstudy.study.disk import DiskWatch, dataset_bytes, free_bytes, plan_disk
from nefstudy.study.known import known
from nefstudy.study.place import Place
from nefstudy.study.plan import StudyPlan, grid_trials
from nefstudy.study.scales import SCALES, grid_cells, search_cells


def place_at(path) -> Place:
    return Place(str(path), f"sqlite:///{path}/ledger.db", "")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["siren", "rffnet"])
def test_the_estimate_is_what_a_fit_writes(tmp_path, small_grid, name):
    """Within 5 % of the bytes below the neural dataset's folder, several rungs and views included."""
    signals = load_signals(SignalsConfig(name="digits8", subset=600))
    field = complete(FieldConfig(name=name, params={"hidden": 16}))
    dataset = NeuralDatasetConfig(
        signals=SignalsConfig(name="digits8", subset=600), field=field, start="random", views=2
    )
    built = build(field, in_dim=2, out_dim=1)
    config = FitConfig(dataset=dataset, rungs=(1, 2), engine="eager")
    write_neural_dataset(config, signals, str(tmp_path), field=built)
    finish_neural_dataset(config, signals, str(tmp_path), field=built)
    written = Storage.at(str(tmp_path)).total("neural_datasets")
    size = SignalSize(len(signals), signals.size, 2, 1)
    plan = StudyPlan(study="s", cells=(small_grid,))
    expected = dataset_bytes(plan, TrialConfig(dataset=dataset, steps=2), size=size, rungs=2)
    assert abs(expected / written - 1) < 0.05, (expected, written)


def test_a_plan_adds_up_and_keeps_what_it_says(small_grid):
    """All ladders with all rungs; `best:1` keeps the largest at most, `none` nothing."""
    plan = StudyPlan(study="s", cells=(small_grid,))
    (everything,), (one,), (nothing,) = (plan_disk(plan, best=best) for best in (None, 1, 0))
    assert everything.bytes == everything.kept_bytes == one.bytes
    ladders = {trial.dataset.digest: trial for trial in grid_trials(plan, small_grid)}
    size = SignalSize(1797, 64, 2, 1)
    each = [dataset_bytes(plan, trial, size=size, rungs=3) for trial in ladders.values()]
    assert everything.bytes == sum(each)
    assert (one.kept_bytes, nothing.kept_bytes) == (max(each), 0)


def test_the_paper_scale_is_priced_without_its_data():
    """Terabytes for the whole study, from published sizes alone."""
    cells = (*search_cells(SCALES["paper"], ("mnist/siren",)), *grid_cells(SCALES["paper"], ("mnist/siren",)))
    found = plan_disk(StudyPlan(study="s", cells=cells), best=None)
    assert sum(cell.bytes for cell in found) > 1e11


def test_a_run_stops_while_there_is_room(ledger, small_grid, open_run, result, tmp_path):
    """Room for the fits under way counts as taken until they are there; the message names size, option, next step."""
    run = open_run(ledger, StudyPlan(study="s", cells=(small_grid,)))
    room = {"free": 2_000_000}
    watch = DiskWatch(
        run, place_at(tmp_path), min_free_gb=0.001, free=lambda _: room["free"], clock=iter(range(0, 1000, 10)).__next__
    )
    assert not watch.step(), "2 MB are free, 1 MB is asked for, nothing runs"
    suggestion = run.next("t")
    assert suggestion is not None
    assert watch.step(), "a ladder of 1,797 fields takes more than the other MB"
    assert watch.problem is not None
    for wanted in ("--min-free-gb", "dataset gc --dry-run", "run the same command again"):
        assert wanted in str(watch.problem)
    assert watch.problem.exit_code == 1


def test_a_run_stops_while_its_ledger_has_room(ledger, small_grid, open_run, tmp_path):
    """A ledger on a disk of its own is watched too; one on a server has no disk to ask for."""
    run = open_run(ledger, StudyPlan(study="s", cells=(small_grid,)))
    free = {str(tmp_path): 10**12, "/small": 10**6}.__getitem__

    def watch(ledger):
        return DiskWatch(run, Place(str(tmp_path), ledger, ""), min_free_gb=1, free=free)

    small = watch("sqlite:////small/ledger.db")
    assert small.step()
    assert "0.001 GB are free at /small, where the ledger is" in str(small.problem)
    assert "run the same command again" in str(small.problem)
    assert not watch(f"sqlite:///{tmp_path}/ledger.db").step()
    assert not watch("postgresql://host/small").step()


def test_no_watch_where_none_is_asked_for_or_nothing_is_known(ledger, small_grid, open_run, tmp_path):
    """0 never stops; a root that is a URI has no free space to ask for."""
    run = open_run(ledger, StudyPlan(study="s", cells=(small_grid,)))
    assert not DiskWatch(run, place_at(tmp_path), min_free_gb=0, free=lambda _: 0).step()
    assert not DiskWatch(run, place_at(tmp_path), min_free_gb=9e9, free=lambda _: None).step()
    assert free_bytes("s3://bucket/x") is None
    assert free_bytes(str(tmp_path / "not" / "there")) == pytest.approx(free_bytes(str(tmp_path)), rel=0.01)


def test_a_plan_knows_what_is_there(small_grid, open_run, drain, tmp_path):
    """Nothing at first; after a run of some trials, those; after all, every result and every fit."""
    from nefstudy.ledger import Ledger

    plan = StudyPlan(study="s", cells=(small_grid,)).pinned()
    place = place_at(tmp_path)
    (none,) = known(plan, place)
    assert (none.results, none.fits) == (0, 0)
    assert not (tmp_path / "ledger.db").exists(), "asking makes no ledger"
    with Ledger.open(place.ledger) as ledger:
        drain(open_run(ledger, plan))
    (everything,) = known(StudyPlan(study="other", cells=(small_grid,)), place)
    assert (everything.results, everything.fits) == (12, 4), "results of any study answer, pinned or not"
    grown = StudyPlan(study="s", cells=(type(small_grid)(**{**vars(small_grid), "replicates": 2}),))
    (half,) = known(grown, place)
    assert (half.results, half.fits) == (12, 4)
    missing = SignalsConfig(name="folder", options={"path": "/nowhere"})
    (unknown,) = known(
        StudyPlan(study="s", cells=(type(small_grid)(**{**vars(small_grid), "signals": missing}),)), place
    )
    assert (unknown.results, unknown.fits) == (None, None)
    assert np.isfinite(everything.results)
