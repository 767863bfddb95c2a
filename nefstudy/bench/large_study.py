"""Generator of a ledger with thousands of realistic trials, none of which is actually computed."""

import math
import random
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from sqlalchemy import Connection

from nefstudy.config import (
    ClassifierConfig,
    FieldConfig,
    NeuralDatasetConfig,
    OptimizerConfig,
    SignalsConfig,
)
from nefstudy.errors import BadConfig
from nefstudy.ledger import CellRecord, Lease, Ledger, TrialRecord, TrialState, attempts, studies
from nefstudy.ledger.attempts import Claim
from nefstudy.ledger.outcome import Outcome
from nefstudy.ledger.sql.database import Database
from nefstudy.paths import trial_file
from nefstudy.scalars import Scalar
from nefstudy.study.samplers.stream import record_of
from nefstudy.study.space import ARCHITECTURE, OPTIMIZATION, Categorical, Dimension, Real
from nefstudy.tasks.classification import ClassificationConfig

STUDY = "large"
PHASES = ("phase1", "phase2")
CELLS = tuple(f"{signals}/{field}" for signals in ("mnist5k", "cifar10", "shapes") for field in ARCHITECTURE)
FAILING, PRUNED = 0.02, 0.03  # shares of the trials that fail or are pruned
EPOCHS, RUNGS = 20, 8  # points of a trial's curves
APART_S = 4.0
BATCH = 1_000  # trials per transaction, because each commit waits for the disk


def write_large_study(
    path: Path, *, trials: int, seed: int = 0, progress: Callable[[int], None] = lambda _written: None
) -> None:
    """Write a study of `trials` finished trials into the ledger at `path`.

    The same seed gives the same study.

    Args:
        progress: called with the number of trials written so far.
    """
    database = Database(str(path), read_only=False, timeout_s=60.0, clock=lambda: 0.0)
    rng, written = random.Random(seed), 0
    stream = islice(_lives(rng), trials)
    each = CellRecord(1 + trials // (len(PHASES) * len(CELLS)), "classification", "val_accuracy", "maximize")
    cells = {(phase, cell): each for phase in PHASES for cell in CELLS}
    try:
        database.prepare()
        Ledger(database).studies.put(STUDY, {"seed": seed}, cells=cells)
        while batch := list(islice(stream, BATCH)):
            database.write(lambda c, batch=batch, first=written: _write(c, batch, first=first))  # type: ignore[misc]
            written += len(batch)
            progress(written)
        database.write(lambda c: studies.set_state(c, STUDY, state="stopped", now=APART_S * trials))
    finally:
        database.close()


def end_another_trial(ledger: Ledger, lease: Lease, *, seed: int) -> None:
    """Request one more trial and end it, as the study's driver does."""
    rng = random.Random(seed)
    trial = _trial(rng, rng.choice(CELLS), seed=seed)
    token = ledger.trials.request(STUDY, PHASES[-1], record=_record(trial), lease=lease)
    ledger.trials.start(STUDY, PHASES[-1], key=trial.key, token=token, lease=lease)
    found = _outcome(rng, trial)
    if found.state is TrialState.COMPLETE:
        ledger.trials.complete(
            STUDY, PHASES[-1], key=trial.key, token=token, metrics=found.metrics, curves=found.curves, lease=lease
        )
    else:
        ledger.trials.fail(
            STUDY, PHASES[-1], key=trial.key, token=token, cause="bug", error="TrialFailed: bug", lease=lease
        )


def size_of_large_study(path: Path) -> int:
    """Return the number of trials of the large study in the ledger at `path`, or 0 if there is none.

    Raises:
        BadConfig: the ledger contains other studies, so it belongs to a user.
    """
    if not path.exists():
        return 0
    with Ledger.open(str(path)) as ledger:
        others = {row.study for row in ledger.studies.all()} - {STUDY}
        if others:
            raise BadConfig(f"{path} contains study {min(others)!r} and would be replaced; choose another --root")
        return sum(ledger.trials.counts(STUDY).values())


def _write(connection: Connection, lives: list[tuple[str, ClassificationConfig, Outcome]], *, first: int) -> None:
    for number, (phase, trial, outcome) in enumerate(lives, start=first):
        now = APART_S * number
        token = attempts.request(connection, STUDY, phase=phase, record=_record(trial), now=now)
        claim = Claim(STUDY, phase, trial.key, token)
        attempts.start(connection, claim, now=now + 0.1)
        attempts.end(connection, claim, outcome=outcome, now=now + 3.0)


def _record(trial: ClassificationConfig) -> TrialRecord:
    cell = f"{trial.dataset.signals.name}/{trial.dataset.field.name}"
    return record_of(trial, cell=cell, needs=(trial.dataset.digest,))


def _lives(rng: random.Random) -> Iterator[tuple[str, ClassificationConfig, Outcome]]:
    """Yield an endless sequence of distinct trials, each with its phase, configuration and outcome."""
    seed = 0
    while True:
        for phase in PHASES:
            for cell in CELLS:
                trial = _trial(rng, cell, seed=seed)
                yield phase, trial, _outcome(rng, trial)
        seed += 1


def _trial(rng: random.Random, cell: str, *, seed: int) -> ClassificationConfig:
    signals, field = cell.split("/")
    point = {name: _drawn(rng, dimension) for name, dimension in OPTIMIZATION.items()}
    params = {name: _drawn(rng, dimension) for name, dimension in ARCHITECTURE[field].items()}
    dataset = NeuralDatasetConfig.model_validate(
        {
            "signals": SignalsConfig(name=signals, content=f"{rng.getrandbits(128):032x}"),
            "field": FieldConfig(name=field, params=params),
            "init": point["init"],
            "optimizer": OptimizerConfig.model_validate({name: point[name] for name in ("lr", "weight_decay")}),
            "seed": seed,
        }
    )
    reader = ClassifierConfig(params={"hidden": 64, "layers": 4, "heads": 4, "dropout": 0.1, "pool": "mean"})
    return ClassificationConfig.model_validate(
        {"dataset": dataset, "steps": point["steps"], "classifier": reader, "seed": seed}
    )


def _drawn(rng: random.Random, dimension: Dimension) -> Scalar:
    if isinstance(dimension, Categorical):
        return rng.choice(dimension.values)
    low, high = dimension.low, dimension.high
    value = math.exp(rng.uniform(math.log(low), math.log(high))) if dimension.log else rng.uniform(low, high)
    if isinstance(dimension, Real):
        return value
    return dimension.multiple * round(value / dimension.multiple)


def _outcome(rng: random.Random, trial: ClassificationConfig) -> Outcome:
    draw = rng.random()
    if draw < FAILING:
        cause = rng.choice(("diverged", "oom", "worker_lost", "disk"))
        return Outcome(TrialState.FAILED, cause=cause, error=f"TrialFailed: {cause} at step {trial.steps}")
    metrics = _metrics(rng, trial)
    if draw < FAILING + PRUNED:
        return Outcome(TrialState.PRUNED, {name: metrics[name] for name in ("val_accuracy", "val_loss", "field_steps")})
    epochs = {
        name: [(epoch, metrics[name] * (1 - 0.5**epoch)) for epoch in range(1, EPOCHS + 1)]
        for name in ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
    }
    rungs = {name: [(2**rung, metrics[name] * rung / RUNGS) for rung in range(RUNGS)] for name in ("all_psnr",)}
    pictures = {name: trial_file(trial.key, name) for name in ("reconstruction.png", "confusion.json")}
    fingerprint = {"engine": "eager", "torch": "2.13.0", "optimizer": "fused-adam", "device": "cpu:x86_64"}
    return Outcome(TrialState.COMPLETE, metrics, epochs | rungs, pictures, fingerprint)


def _metrics(rng: random.Random, trial: ClassificationConfig) -> dict[str, float]:
    """Return metrics with realistic names, values and numbers of digits.

    A shared initialization and more steps improve them.
    """
    quality = 8 + 2.5 * math.log(trial.steps) + rng.gauss(0, 2)
    accuracy = min(0.99, max(0.1, rng.gauss(0.7 if trial.dataset.init.name == "shared" else 0.4, 0.15)))
    ratios = ("off_grid_ratio_bilinear", "off_grid_ratio_published", "off_grid_nmse_ratio")
    names = ("psnr", "ssim", "off_grid_psnr", *ratios)
    return (
        {f"{split}_{name}": quality * rng.uniform(0.9, 1.1) for split in ("all", "test") for name in names}
        | {f"{split}_accuracy": accuracy + rng.uniform(-0.05, 0.01) for split in ("train", "val", "test")}
        | {f"{split}_loss": 2 * (1 - accuracy) + rng.random() / 10 for split in ("train", "val")}
        | {"all_nmi": rng.random() / 3, "best_epoch": 17.0, "classifier_parameters": 61_386.0, "diverged": 3.0}
        | {"signals": 5000.0, "fit_seconds": 60 * rng.random(), "classify_seconds": 9 * rng.random()}
        | {"field_steps": 5000.0 * trial.steps if rng.random() < 0.4 else 0.0}
    )
