"""Tests of disk space: estimates match what a fit writes, and a run stops before the disk is full."""

import errno
import shutil
from dataclasses import replace

import numpy as np
import pytest

from nefstudy.config import FieldConfig, FitConfig, NeuralDatasetConfig, SignalsConfig
from nefstudy.fields.catalog import build, complete
from nefstudy.ledger import TrialState
from nefstudy.neural_dataset.write import finish_neural_dataset, write_neural_dataset
from nefstudy.scalars import Scalar
from nefstudy.signals.catalog import load_signals
from nefstudy.storage import Storage
from nefstudy.study.estimate.cost import SignalSize
from nefstudy.study.estimate.disk import DiskWatch, free_bytes, plan_disk
from nefstudy.study.estimate.existing import existing_work
from nefstudy.study.estimate.trial_price import dataset_bytes
from nefstudy.study.locations import Locations
from nefstudy.study.plan.scales import SCALES, grid_cells, search_cells
from nefstudy.study.plan.study_plan import StudyPlan

from ...classification import all_trials
from ...present import present


def locations_at(path) -> Locations:
    return Locations(str(path), f"sqlite:///{path}/ledger.db", "")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["siren", "rffnet"])
def test_the_estimate_is_what_a_fit_writes(tmp_path, small_grid, name):
    """The estimated size of a neural dataset with several rungs and views is within 5 % of the bytes written."""
    signals = load_signals(SignalsConfig(name="digits8", subset=600))
    field = complete(FieldConfig(name=name, params={"hidden": 16}))
    dataset = NeuralDatasetConfig(
        signals=SignalsConfig(name="digits8", subset=600), field=field, init="random", views=2
    )
    built = build(field, in_dim=2, out_dim=1)
    config = FitConfig(dataset=dataset, rungs=(1, 2), engine="eager")
    write_neural_dataset(config, signals, str(tmp_path), field=built)
    finish_neural_dataset(config, signals, str(tmp_path), field=built)
    written = Storage.at(str(tmp_path)).total_size("neural_datasets")
    size = SignalSize(len(signals), signals.size, 2, 1)
    plan = StudyPlan(study="s", cells=(small_grid,))
    expected = dataset_bytes(plan, dataset, size=size, rungs=2)
    assert abs(expected / written - 1) < 0.05, (expected, written)


def test_a_plan_adds_up_and_keeps_what_it_says(small_grid):
    """The estimated size of a plan is the sum of the sizes of its ladders.

    With `best:1` at most the largest ladder is kept, and with `none` nothing.
    """
    plan = StudyPlan(study="s", cells=(small_grid,))
    (everything,), (one,), (nothing,) = (plan_disk(plan, best=best) for best in (None, 1, 0))
    assert everything.bytes == everything.kept_bytes == one.bytes
    ladders = {trial.dataset.digest: trial for trial in all_trials(plan, small_grid)}
    size = SignalSize(1797, 64, 2, 1)
    each = [dataset_bytes(plan, trial.dataset, size=size, rungs=3) for trial in ladders.values()]
    assert everything.bytes == sum(each)
    assert (one.kept_bytes, nothing.kept_bytes) == (max(each), 0)


def test_the_paper_scale_is_priced_without_its_data():
    """The size of a paper-scale study is estimated without its data, from the published sizes of the data sets."""
    cells = (*search_cells(SCALES["paper"], ("mnist/siren",)), *grid_cells(SCALES["paper"], ("mnist/siren",)))
    found = plan_disk(StudyPlan(study="s", cells=cells), best=None)
    assert sum(cell.bytes for cell in found) > 1e11


def test_a_run_stops_while_there_is_room(ledger, small_grid, open_run, result, tmp_path):
    """A run stops before the fits in flight would fill the disk.

    The error names the option and the next step.
    """
    run = open_run(ledger, StudyPlan(study="s", cells=(small_grid,)))
    room = {"free": 20_000_000}
    watch = DiskWatch(
        run,
        locations_at(tmp_path),
        min_free_gb=0.001,
        free=lambda _: room["free"],
        clock=iter(range(0, 1000, 10)).__next__,
    )
    assert not watch.step(), "20 MB are free, 1 MB is asked for, nothing runs"
    assert run.next("t") is not None
    room["free"] = 2_000_000  # others write too
    assert watch.step(), "a ladder of 1,797 fields takes more than the other MB"
    assert watch.problem is not None
    for wanted in ("--min-free-gb", "dataset gc --dry-run", "run the same command again"):
        assert wanted in str(watch.problem)
    assert watch.problem.exit_code == 1


def watched(run, tmp_path, free):
    return DiskWatch(run, locations_at(tmp_path), min_free_gb=0.001, free=lambda _: free["bytes"])


def ladder_bytes(plan, cell) -> dict[Scalar, int]:
    """Return the size in bytes of a ladder of three rungs for each width of the field."""
    size = SignalSize(1797, 64, 2, 1)
    trials = {t.dataset.field.params["hidden"]: t for t in all_trials(plan, cell)}
    return {hidden: dataset_bytes(plan, trial.dataset, size=size, rungs=3) for hidden, trial in trials.items()}


def test_what_never_fits_fails_its_trial_and_not_the_study(ledger, small_grid, open_run, drain, tmp_path):
    """A trial too large for the disk even by itself fails as `too_big`, and the other trials complete.

    A later run with more space completes the failed ones.
    """
    plan = StudyPlan(study="s", cells=(small_grid,))
    need = ladder_bytes(plan, small_grid)
    run = open_run(ledger, plan)
    run._failures._most_equal = 100
    watch = watched(run, tmp_path, {"bytes": 1_000_000 + (need[8] + need[16]) // 2})
    drain(run, slots=1)
    watch.look()
    assert watch.problem is None
    rows = ledger.trials.page("s", limit=None).rows
    assert {(row.parameters["hidden"], row.state, row.cause) for row in rows} == {
        (8, TrialState.COMPLETE, None),
        (16, TrialState.FAILED, "too_big"),
    }
    (error, *_) = {row.error for row in rows if row.error}
    for wanted in ("its neural dataset takes 0.01 GB", "--min-free-gb", "dataset gc --dry-run"):
        assert wanted in error
    ledger.leases.release(run.lease, state="stopped")
    again = open_run(ledger, plan)
    watched(again, tmp_path, {"bytes": 10**12})
    drain(again)
    assert {row.state for row in ledger.trials.page("s", limit=None).rows} == {TrialState.COMPLETE}


def test_trials_that_fit_one_by_one_wait_for_one_another(ledger, small_grid, open_run, result, tmp_path):
    """If the disk has space for only one ladder, the second ladder is held back until the first has ended."""
    plan = StudyPlan(study="s", cells=(small_grid,))
    free = {"bytes": 1_000_000 + ladder_bytes(plan, small_grid)[16] * 3 // 2}
    run = open_run(ledger, plan)
    watch = watched(run, tmp_path, free)
    first = run.next("a")
    assert first is not None
    while (other := run.next(f"b{len(run.in_flight)}")) is not None:
        assert len(run.in_flight) < 3, other
    held = next(
        iter(run.needed_datasets - {digest for trial in run.in_flight.values() for digest in trial.suggestion.datasets})
    )
    for trial_id in list(run.in_flight):
        run.completed(trial_id, result(0.5))
    assert run.next("c").datasets == (held,)
    watch.look()
    assert watch.problem is None


def test_bytes_that_are_there_are_not_asked_for_again(ledger, small_grid, open_run, tmp_path):
    """A neural dataset written by an earlier run needs no more space, however little is left."""
    run = open_run(ledger, StudyPlan(study="s", cells=(small_grid,)))
    trial = all_trials(run.plan, small_grid)[0]
    folder = tmp_path / "neural_datasets" / trial.dataset.digest
    folder.mkdir(parents=True)
    with (folder / "shard").open("wb") as file:
        file.truncate(10**9)
    watched(run, tmp_path, {"bytes": 1_000_001})
    assert run.next("a").trial == trial


def test_a_run_stops_while_its_ledger_has_room(ledger, small_grid, open_run, tmp_path):
    """If the ledger is a file on another disk, the free space of that disk is watched too."""
    run = open_run(ledger, StudyPlan(study="s", cells=(small_grid,)))
    free = {str(tmp_path): 10**12, "/small": 10**6}.__getitem__

    def watch(ledger):
        return DiskWatch(run, Locations(str(tmp_path), ledger, ""), min_free_gb=1, free=free)

    small = watch("sqlite:////small/ledger.db")
    assert small.step()
    assert "0.001 GB are free at /small, where the ledger is" in str(small.problem)
    assert "run the same command again" in str(small.problem)
    assert not watch(f"sqlite:///{tmp_path}/ledger.db").step()
    assert not watch("postgresql://host/small").step()


def test_no_watch_where_none_is_asked_for_or_nothing_is_known(ledger, small_grid, open_run, tmp_path):
    """A run is never stopped for lack of space if the limit is 0 or the free space is unknown."""
    run = open_run(ledger, StudyPlan(study="s", cells=(small_grid,)))
    assert not DiskWatch(run, locations_at(tmp_path), min_free_gb=0, free=lambda _: 0).step()
    assert not DiskWatch(run, locations_at(tmp_path), min_free_gb=9e9, free=lambda _: None).step()
    assert free_bytes("s3://bucket/x") is None
    assert free_bytes(str(tmp_path / "not" / "there")) == pytest.approx(free_bytes(str(tmp_path)), rel=0.01)


def test_a_plan_knows_what_is_there(small_grid, open_run, drain, result, tmp_path):
    """The existing results and fits of a plan are counted before, during and after a run.

    The results of any study count.
    """
    from nefstudy.ledger import Ledger

    plan = StudyPlan(study="s", cells=(small_grid,)).pinned()
    locations = locations_at(tmp_path)
    (none,) = existing_work(plan, locations)
    assert (none.results, none.fits) == (0, 0)
    assert not (tmp_path / "ledger.db").exists(), "asking makes no ledger"
    with Ledger.open(locations.ledger) as ledger:
        run = open_run(ledger, plan)
        for number in range(10):
            assert run.next(f"first {number}") is not None
            run.completed(f"first {number}", result(0.5))
        assert run.next("in flight") is not None
        (some,) = existing_work(plan, locations)
        done = {row.key for row in ledger.trials.page("s", limit=None).rows if row.state is TrialState.COMPLETE}
        left = {trial.dataset.digest for trial in all_trials(plan, plan.cells[0]) if trial.key not in done}
        assert (some.results, some.fits) == (10, 4 - len(left))
        assert 2 <= present(some.fits) < 4, "two missing results are of one or two of the four ladders"
        drain(run)
    (everything,) = existing_work(StudyPlan(study="other", cells=(small_grid,)), locations)
    assert (everything.results, everything.fits) == (12, 4), "results of any study answer, pinned or not"
    grown = StudyPlan(study="s", cells=(type(small_grid)(**{**vars(small_grid), "replicates": 2}),))
    (half,) = existing_work(grown, locations)
    assert (half.results, half.fits) == (12, 4)
    missing = SignalsConfig(name="folder", options={"path": "/nowhere"})
    (unknown,) = existing_work(
        StudyPlan(study="s", cells=(type(small_grid)(**{**vars(small_grid), "signals": missing}),)), locations
    )
    assert (unknown.results, unknown.fits) == (None, None)
    assert np.isfinite(present(everything.results))


def test_a_fit_exists_once_its_neural_dataset_has_every_rung(small_grid, tmp_path):
    """A finished neural dataset counts as an existing fit only if it has all rungs of its ladder."""
    signals = SignalsConfig(name="digits8", subset=20)
    plan = StudyPlan(study="s", cells=(replace(small_grid, signals=signals),)).pinned()
    dataset, loaded = all_trials(plan, plan.cells[0])[0].dataset, load_signals(signals)
    field = build(dataset.field, in_dim=2, out_dim=1)

    def existing() -> tuple[int | None, int | None]:
        (found,) = existing_work(plan, locations_at(tmp_path))
        return found.results, found.fits

    for rungs, fits in (((1, 2), 0), ((1, 2, 4), 1)):
        config = FitConfig(dataset=dataset, rungs=rungs, engine="eager")
        write_neural_dataset(config, loaded, str(tmp_path), field=field)
        assert existing() == (0, 0), "not finished"
        finish_neural_dataset(config, loaded, str(tmp_path), field=field)
        assert existing() == (0, fits)


def test_what_a_run_tries_anew_is_not_there_yet(ledger, small_grid, open_run, tmp_path):
    """A failed trial that the next run will retry does not count as an existing result."""
    plan = StudyPlan(study="s", cells=(small_grid,)).pinned()
    run = open_run(ledger, plan)
    for name, cause in (("a", "disk"), ("b", "diverged"), ("c", "too_big")):
        assert run.next(name) is not None
        run.failed(name, cause=cause, error="x")
    (found,) = existing_work(plan, locations_at(tmp_path))
    assert found.results == 1


def test_a_mount_that_is_away_has_no_known_space(monkeypatch, tmp_path):
    """If a mount cannot be accessed, its free space is unknown."""

    def fail(_path: object) -> None:
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(shutil, "disk_usage", fail)
    assert free_bytes(str(tmp_path)) is None
