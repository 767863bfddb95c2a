"""A small study in a ledger: two cells, trials in several states, and a half-complete phase 2."""

import math
import sqlite3
from contextlib import closing
from pathlib import Path

from nefstudy.config import ClassifierConfig, FieldConfig, NeuralDatasetConfig, OptimizerConfig, SignalsConfig
from nefstudy.ledger import Ledger
from nefstudy.tasks.classification import ClassificationConfig

from ..ledger.records import as_cells, as_record, cell_of

STUDY = "smoke"
CELLS = ("digits8/siren", "digits8/mfn")
PICTURE = "trials/reconstruction.png"
OPERATOR_SECRET = "/srv/secret/place/model.py"


def trial_config(
    cell: str, *, init: str = "shared", steps: int = 25, hidden: int = 16, lr: float = 1e-3
) -> ClassificationConfig:
    """Return a valid trial configuration for a cell."""
    signals, field = cell.split("/")
    dataset = NeuralDatasetConfig(
        signals=SignalsConfig(name=signals),
        field=FieldConfig(name=field, params={"hidden": hidden}),
        init=init,
        optimizer=OptimizerConfig(lr=lr),
    )
    return ClassificationConfig(dataset=dataset, steps=steps, classifier=ClassifierConfig(name="mlp"))


def metrics_of(trial: ClassificationConfig) -> dict[str, float]:
    """Return metrics that depend on steps and initialization as in a real study."""
    quality = 8 + 4 * math.log(trial.steps)
    test = (0.9 if trial.dataset.init.name == "shared" else 0.3) - 0.002 * abs(quality - 20)
    return {
        "val_accuracy": test + 0.01,
        "test_accuracy": test,
        "all_psnr": quality,
        "all_ssim": 0.8,
        "all_nmi": test / 2,
        "all_ami": test / 3,
        "all_off_grid_ratio_published": 0.5 + test / 2,
        "all_off_grid_nmse_ratio": 1.0 - test / 2,
        "field_steps": 50.0 * trial.steps,
        "fit_seconds": 2.0,
        "classify_seconds": 1.0,
    }


def run_trial(ledger: Ledger, phase: str, trial: ClassificationConfig) -> str:
    """Request, start and complete a trial; return its key."""
    token = ledger.trials.request(STUDY, phase, record=as_record(trial))
    ledger.trials.start(STUDY, phase, key=trial.key, token=token)
    ledger.trials.complete(
        STUDY,
        phase,
        key=trial.key,
        token=token,
        metrics=metrics_of(trial),
        curves={"all_psnr": [(0, 5.0), (trial.steps, 12.0)], "val_accuracy": [(1, 0.5), (2, 0.6)]},
        artifacts={"reconstruction.png": PICTURE},
        fingerprint={"engine": "eager"},
    )
    return trial.key


def fill_study(ledger: Ledger) -> list[str]:
    """Fill a study with trials in several states; return the keys of the complete trials.

    Half of phase 2 is complete.
    """
    ledger.studies.put(STUDY, {"phase2": {"seed": 0}}, cells=as_cells({("phase2", cell): 16 for cell in CELLS}))
    grid = [(cell, init, steps) for cell in CELLS for init in ("shared", "random") for steps in (5, 25, 75, 1000)]
    keys = [run_trial(ledger, "phase2", trial_config(c, init=init, steps=n)) for c, init, n in grid]
    failing = trial_config(CELLS[0], steps=7)
    token = ledger.trials.request(STUDY, "phase2", record=as_record(failing))
    ledger.trials.fail(
        STUDY,
        "phase2",
        key=failing.key,
        token=token,
        cause="bug",
        error=f"ValueError: no luck in {OPERATOR_SECRET}\nTraceback (most recent call last):\n  {OPERATOR_SECRET}",
    )
    running = trial_config(CELLS[0], steps=8)
    token = ledger.trials.request(STUDY, "phase2", record=as_record(running))
    ledger.trials.start(STUDY, "phase2", key=running.key, token=token)
    ledger.trials.request(STUDY, "phase2", record=as_record(trial_config(CELLS[1], steps=9)))
    return keys


def stop_after_retry(ledger: Ledger) -> ClassificationConfig:
    """Record a study with one retried trial and a stopped cell.

    The trial ran out of memory before it was retried; its cell was then stopped.
    """
    trial = trial_config(CELLS[0], steps=7)
    ledger.studies.put(STUDY, {}, cells=as_cells({("phase2", cell_of(trial)): 1}))
    token = ledger.trials.request(STUDY, "phase2", record=as_record(trial))
    ledger.trials.retry(STUDY, "phase2", key=trial.key, token=token, cause="oom", error="out of memory")
    ledger.studies.stop_cell(STUDY, "phase2", cell=cell_of(trial), reason="bad_data: torn")
    return trial


def set_version(path: Path, version: int) -> None:
    """Set the schema version of a ledger file, as if another version of nefstudy had written it."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE ledger_schema SET version = ?", (version,))
