"""A study of thirty thousand trials in a ledger; most trials are copies with different scores."""

import math
import random
from pathlib import Path
from typing import Any

from nefstudy.config import (
    ClassifierConfig,
    FieldConfig,
    NeuralDatasetConfig,
    OptimizerConfig,
    SignalsConfig,
)
from nefstudy.ledger import Ledger
from nefstudy.tasks.classification import ClassificationConfig

from ..ledger.copies import multiply
from ..ledger.records import as_cells, as_record

STUDY = "paper"
SIGNALS = ("cifar10", "microimagenet", "mnist", "shapenet10")
FIELDS = ("siren", "rffnet", "mfn")
SEEDS, COPIES = 10, 244  # in phase 1, per cell
SEARCHED = (20, 200, 1000, 5000, 10_000, 20_000)
RUNGS = (5, 15, 25, 50, 75, 1000, 5000, 10_000, 20_000, 50_000)
PER_TRIAL_S = 0.4


def fill_large_study(path: Path) -> int:
    """Fill a ledger with a study of twelve cells within seconds; return the number of its complete trials."""
    rng = random.Random(0)
    cells = [f"{signals}/{field}" for signals in SIGNALS for field in FIELDS]
    planned = {("phase1", cell): SEEDS * COPIES for cell in cells} | {("phase2", cell): 60 for cell in cells}
    with Ledger.open(str(path), timeout_s=5.0) as ledger:
        plan = {"cells": [cell_plan(phase, cell, planned[phase, cell]) for phase, cell in planned]}
        ledger.studies.put(STUDY, plan, cells=as_cells(planned))
        for cell in cells:
            for _ in range(SEEDS):
                complete_trial(ledger, "phase1", search_point(cell, rng), rng=rng)
        multiply_seeds(path)
        for cell in cells:
            for init in ("shared", "random"):
                for hidden in (16, 32, 64):
                    for steps in RUNGS:
                        trial = trial_config(cell, init=init, hidden=hidden, steps=steps)
                        complete_trial(ledger, "phase2", trial, rng=rng)
        return len(ledger.trials.columns(STUDY, ("key",))["key"])


def cell_plan(phase: str, cell: str, planned: int) -> dict[str, Any]:
    """Return a cell's entry in the plan, as the driver records it."""
    inits = {"kind": "Categorical", "values": ["random", "shared"]}
    if phase == "phase1":
        hidden = {"kind": "Whole", "low": 8, "high": 128, "log": True, "multiple": 1}
        space = {"init": inits, "hidden": hidden, "steps": {"kind": "Categorical", "values": list(SEARCHED)}}
    else:
        hidden = {"kind": "Categorical", "values": [16, 32, 64]}
        space = {"init": inits, "hidden": hidden, "steps": {"kind": "Categorical", "values": list(RUNGS)}}
    sampler = {"name": "Tpe" if phase == "phase1" else "Grid"}
    chosen = {"sampler": sampler, "covers_space": phase != "phase1", "planned": planned}
    return {"phase": phase, "cell": cell, "space": space, **chosen}


def search_point(cell: str, rng: random.Random) -> ClassificationConfig:
    """Return a random point of the search space."""
    params = {"layers": rng.randint(3, 6), "omega_0": 10 ** rng.uniform(0, 2)}
    return trial_config(
        cell,
        init=rng.choice(("shared", "random")),
        hidden=round(2 ** rng.uniform(3, 7)),
        steps=rng.choice(SEARCHED),
        lr=10 ** rng.uniform(-5, -1),
        params=params if cell.endswith("siren") else {"layers": params["layers"]},
    )


def trial_config(
    cell: str, *, init: str, hidden: int, steps: int, lr: float = 1e-3, params: dict[str, float] | None = None
) -> ClassificationConfig:
    """Return a trial configuration for a cell."""
    signals, field = cell.split("/")
    dataset = NeuralDatasetConfig(
        signals=SignalsConfig(name=signals),
        field=FieldConfig(name=field, params={"hidden": hidden, **(params or {})}),
        init=init,
        optimizer=OptimizerConfig(lr=lr),
    )
    return ClassificationConfig(dataset=dataset, steps=steps, classifier=ClassifierConfig(name="gnn-sign"))


def scores(trial: ClassificationConfig, rng: random.Random) -> dict[str, float]:
    """Return metrics that depend on steps and initialization as in a real study.

    Quality grows with steps. Accuracy rises, then drops, and is higher for shared initializations.
    """
    hidden, shared = int(trial.dataset.field.params["hidden"]), trial.dataset.init.name == "shared"
    off = abs(math.log10(trial.dataset.optimizer.lr) + 3)
    quality = 9 + 2.2 * math.log(trial.steps) * (0.6 + 0.1 * math.log2(hidden)) - 1.5 * off + rng.gauss(0, 0.4)
    peak = math.exp(-(((quality - 21) / 14) ** 2))
    accuracy = min(0.99, max(0.1, (0.9 if shared else 0.35) * peak - 0.04 * off + rng.gauss(0, 0.02)))
    return {
        "val_accuracy": accuracy + rng.gauss(0, 0.01),
        "test_accuracy": accuracy,
        "all_psnr": quality,
        "all_ssim": min(0.99, quality / 45),
        "all_nmi": max(0.01, (0.55 if shared else 0.05) * peak + rng.gauss(0, 0.02)),
        "all_off_grid_ratio_published": 0.6 + 0.4 * peak + rng.gauss(0, 0.03),
        "field_steps": 5000.0 * (trial.steps if trial.steps in SEARCHED[-1:] else 0),
    }


def complete_trial(ledger: Ledger, phase: str, trial: ClassificationConfig, *, rng: random.Random) -> None:
    """Request, start and complete a trial."""
    token = ledger.trials.request(STUDY, phase, record=as_record(trial))
    ledger.trials.start(STUDY, phase, key=trial.key, token=token)
    curves = {"all_psnr": [(0, 5.0), (trial.steps, 12.0)]}
    ledger.trials.complete(STUDY, phase, key=trial.key, token=token, metrics=scores(trial, rng), curves=curves)


def multiply_seeds(path: Path) -> None:
    """Copy every trial with new keys, scores and times."""
    noise = "(0.9 + abs(random() % 1000) / 6e3)"
    when = f"requested_at - {PER_TRIAL_S} * :seeds * i + {PER_TRIAL_S} * id"
    multiply(
        path,
        copies=COPIES,
        number=f"CASE WHEN kind = 'metric' THEN number * {noise} ELSE number END",
        key="substr(key, 1, 12) || printf('%04x', i)",
        **dict.fromkeys(("requested_at", "started_at", "ended_at"), when),
        score=f"min(0.995, score * {noise})",
    )
