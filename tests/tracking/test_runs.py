"""Tests that each trial has one run with the trial's content, and that the ledger alone can rebuild these runs."""

import math
import sqlite3
from pathlib import Path

import pytest

from nefstudy.ledger import TrialState
from nefstudy.tracking.export import MAX_ENTITIES, downsample, drain, rebuild

from ..ledger.records import as_record

pytestmark = pytest.mark.mlflow

HERE = ("digits", "phase1")
EXPERIMENT = "digits/digits8/siren/phase1"


def test_a_run_has_the_whole_trial(ledger, root, runs, finish, picture):
    """The parameters, metrics, curves, pictures, times and tags of a run equal those in the ledger."""
    made = finish(
        ledger,
        metrics={"val_accuracy": 0.5, "all_psnr": 21.25, "all_ssim": math.nan},
        curves={"all_psnr": [(5, 10.0), (75, 21.25)], "val_accuracy": [(0, 0.3), (1, 0.5), (2, 0.4)]},
        artifacts=picture(),
        fingerprint={"engine": "eager"},
    )
    assert drain(ledger, root=root) == 0
    (run,) = runs()
    row = ledger.trials.get(made.key)
    assert run.info.status == "FINISHED"
    assert (run.info.start_time, run.info.end_time) == (round(row.started_at * 1000), round(row.ended_at * 1000))
    assert run.data.params == {name: str(value) for name, value in row.parameters.items()}
    assert (run.data.metrics["val_accuracy"], run.data.metrics["all_psnr"]) == (0.5, 21.25)
    assert math.isnan(run.data.metrics["all_ssim"])
    tags = {"study": "digits", "phase": "phase1", "cell": "digits8/siren", "init": "shared", "hidden": "16"}
    tags |= {"nefstudy.key": made.key, "dataset": row.dataset, "fingerprint.engine": "eager", "reused": "False"}
    assert tags.items() <= run.data.tags.items()
    history = runs.client.get_metric_history(run.info.run_id, "curves/val_accuracy")
    assert [(point.step, point.value) for point in history] == [(0, 0.3), (1, 0.5), (2, 0.4)]
    assert [file.path for file in runs.client.list_artifacts(run.info.run_id)] == ["reconstruction.png"]
    assert Path(root, "mlartifacts", EXPERIMENT, run.info.run_id, "artifacts", "reconstruction.png").is_file()


def test_missing_picture_does_not_stop_a_run(ledger, root, runs, finish):
    """A trial whose picture was deleted is exported without the picture."""
    finish(ledger, artifacts={"reconstruction.png": "trials/gone.png"})
    assert drain(ledger, root=root) == 0
    (run,) = runs()
    assert run.info.status == "FINISHED"
    assert runs.client.list_artifacts(run.info.run_id) == []


def test_each_cell_and_phase_is_an_experiment(ledger, root, runs, finish, make):
    """Trials of different fields or phases go to different experiments."""
    finish(ledger)
    other = make(field="mfn")
    token = ledger.trials.request("digits", "phase2", record=as_record(other))
    ledger.trials.fail("digits", "phase2", key=other.key, token=token, cause="oom", error="9 GiB wanted")
    assert drain(ledger, root=root) == 0
    assert len(runs()) == 1
    (failed,) = runs("digits/digits8/mfn/phase2")
    assert (failed.info.status, failed.data.tags["cause"]) == ("FAILED", "oom")
    assert failed.data.tags["mlflow.note.content"] == "9 GiB wanted"


def test_draining_again_writes_nothing(ledger, root, runs, finish):
    """Neither exporting an empty outbox nor rebuilding a complete store changes any run."""
    for seed in range(3):
        finish(ledger, seed)
    drain(ledger, root=root)
    before = {run.info.run_id for run in runs()}
    assert len(before) == 3
    assert drain(ledger, root=root) == 0
    assert rebuild(ledger, root=root) == 3
    assert {run.info.run_id for run in runs()} == before


def test_rebuild_gives_the_same_runs(ledger, root, runs, empty_store, finish):
    """A lost store is rebuilt from the ledger with the same runs, apart from their ids."""

    def content() -> dict[str, tuple]:
        return {
            run.data.tags["nefstudy.key"]: (run.data.params, run.data.metrics, run.info.start_time, run.info.end_time)
            for run in runs()
        }

    for seed in range(3):
        finish(ledger, seed, curves={"all_psnr": [(5, 10.0), (75, 21.0)]})
    drain(ledger, root=root)
    before = content()
    for run in runs():
        runs.client.delete_run(run.info.run_id)
    assert content() == {}
    assert rebuild(ledger, root=root, study="digits") == 3
    assert content() == before


def test_limit_bounds_one_drain(ledger, root, runs, finish):
    """One call of `drain` writes at most `limit` runs."""
    for seed in range(5):
        finish(ledger, seed)
    assert drain(ledger, root=root, limit=2) == 3
    assert len(runs()) == 2


def test_long_curves_fit_one_batch(ledger, root, runs, finish):
    """Long curves are downsampled to fit into one call of MLflow and keep their first and last points."""
    long = [(float(step), step / 5000) for step in range(5000)]
    finish(ledger, curves={"val_loss": long, "train_loss": long})
    assert drain(ledger, root=root) == 0
    (run,) = runs()
    kept = runs.client.get_metric_history(run.info.run_id, "curves/val_loss")
    assert 100 < len(kept) < MAX_ENTITIES / 2
    assert (kept[0].step, kept[-1].step) == (0, 4999)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 10, 11])
def test_a_downsampled_curve_keeps_its_ends(count):
    """Downsampling keeps at most `count` points in their order, including the last point."""
    points = [(float(step), 0.0) for step in range(10)]
    kept = downsample(points, count)
    assert len(kept) == min(count, 10)
    assert kept == sorted(set(kept))
    assert kept[-1:] == (points[-1:] if count else [])


def test_states_and_statistics(ledger, root, runs, finish, make):
    """An export updates the SQLite store's statistics, without which searches are slow."""
    finish(ledger)
    drain(ledger, root=root)
    store = sqlite3.connect(Path(root) / "mlflow.db")
    analyzed = store.execute("SELECT count(*) FROM sqlite_stat1 WHERE tbl = 'runs'").fetchone()
    store.close()
    assert analyzed[0] > 0
    assert ledger.trials.get(make().key).state is TrialState.COMPLETE
