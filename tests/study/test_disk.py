"""Laws of disk: the estimate is what a fit writes; a study stops while there is room, and says how to go on."""

import errno
import shutil

import numpy as np
import pytest

from nefstudy.config import FieldConfig, FitConfig, NeuralDatasetConfig, SignalsConfig
from nefstudy.fields.catalog import build, complete
from nefstudy.ledger import TrialState
from nefstudy.neural_dataset.write import finish_neural_dataset, write_neural_dataset
from nefstudy.signals.catalog import load_signals
from nefstudy.storage import Storage
from nefstudy.study.cost import SignalSize
from nefstudy.study.disk import DiskWatch, free_bytes, plan_disk
from nefstudy.study.known import known
from nefstudy.study.place import Place
from nefstudy.study.plan import StudyPlan, listed_trials
from nefstudy.study.price import dataset_bytes
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
        signals=SignalsConfig(name="digits8", subset=600), field=field, init="random", views=2
    )
    built = build(field, in_dim=2, out_dim=1)
    config = FitConfig(dataset=dataset, rungs=(1, 2), engine="eager")
    write_neural_dataset(config, signals, str(tmp_path), field=built)
    finish_neural_dataset(config, signals, str(tmp_path), field=built)
    written = Storage.at(str(tmp_path)).total("neural_datasets")
    size = SignalSize(len(signals), signals.size, 2, 1)
    plan = StudyPlan(study="s", cells=(small_grid,))
    expected = dataset_bytes(plan, dataset, size=size, rungs=2)
    assert abs(expected / written - 1) < 0.05, (expected, written)


def test_a_plan_adds_up_and_keeps_what_it_says(small_grid):
    """All ladders with all rungs; `best:1` keeps the largest at most, `none` nothing."""
    plan = StudyPlan(study="s", cells=(small_grid,))
    (everything,), (one,), (nothing,) = (plan_disk(plan, best=best) for best in (None, 1, 0))
    assert everything.bytes == everything.kept_bytes == one.bytes
    ladders = {trial.dataset.digest: trial for trial in listed_trials(plan, small_grid)}
    size = SignalSize(1797, 64, 2, 1)
    each = [dataset_bytes(plan, trial.dataset, size=size, rungs=3) for trial in ladders.values()]
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
    room = {"free": 20_000_000}
    watch = DiskWatch(
        run, place_at(tmp_path), min_free_gb=0.001, free=lambda _: room["free"], clock=iter(range(0, 1000, 10)).__next__
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
    return DiskWatch(run, place_at(tmp_path), min_free_gb=0.001, free=lambda _: free["bytes"])


def ladder_bytes(plan, cell) -> dict[int, int]:
    """Bytes of a ladder of three rungs by its field's width."""
    size = SignalSize(1797, 64, 2, 1)
    trials = {t.dataset.field.params["hidden"]: t for t in listed_trials(plan, cell)}
    return {hidden: dataset_bytes(plan, trial.dataset, size=size, rungs=3) for hidden, trial in trials.items()}


def test_what_never_fits_fails_its_trial_and_not_the_study(ledger, small_grid, open_run, drain, tmp_path):
    """Wide fields do not fit even alone: their trials fail as too_big; narrow ones complete, and a later run with
    room does the rest."""
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
    """Room for one ladder and a half: the second is held back until the first has ended, then handed out."""
    plan = StudyPlan(study="s", cells=(small_grid,))
    free = {"bytes": 1_000_000 + ladder_bytes(plan, small_grid)[16] * 3 // 2}
    run = open_run(ledger, plan)
    watch = watched(run, tmp_path, free)
    first = run.next("a")
    assert first is not None
    while (other := run.next(f"b{len(run.under_way)}")) is not None:
        assert len(run.under_way) < 3, other
    held = next(iter(run.wanted - {digest for trial in run.under_way.values() for digest in trial.suggestion.datasets}))
    for trial_id in list(run.under_way):
        run.completed(trial_id, result(0.5))
    assert run.next("c").datasets == (held,)
    watch.look()
    assert watch.problem is None


def test_bytes_that_are_there_are_not_asked_for_again(ledger, small_grid, open_run, tmp_path):
    """A neural dataset that an earlier run wrote takes no more room, however little is left."""
    run = open_run(ledger, StudyPlan(study="s", cells=(small_grid,)))
    trial = next(iter(listed_trials(run.plan, small_grid)))
    folder = tmp_path / "neural_datasets" / trial.dataset.digest
    folder.mkdir(parents=True)
    with (folder / "shard").open("wb") as file:
        file.truncate(10**9)
    watched(run, tmp_path, {"bytes": 1_000_001})
    assert run.next("a").trial == trial


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


def test_what_a_run_tries_anew_is_not_there_yet(ledger, small_grid, open_run, tmp_path):
    """A trial failed for the disk is repeated by the next run, so a plan does not count it; a diverged one counts."""
    plan = StudyPlan(study="s", cells=(small_grid,)).pinned()
    run = open_run(ledger, plan)
    for name, cause in (("a", "disk"), ("b", "diverged"), ("c", "too_big")):
        assert run.next(name) is not None
        run.failed(name, cause=cause, error="x")
    (found,) = known(plan, place_at(tmp_path))
    assert found.results == 1


def test_a_mount_that_is_away_has_no_known_space(monkeypatch, tmp_path):
    """Its error is not the driver's end: nothing is known, so nothing is held back or refused."""

    def fail(_path: object) -> None:
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(shutil, "disk_usage", fail)
    assert free_bytes(str(tmp_path)) is None
