"""A synthetic study: trials computed from formulas, and the plan that declares their cells."""

import itertools
import math
from typing import Any

from nefstudy.insight.trials import TrialColumns

STEPS = (5, 25, 75, 200, 1000, 5000)
HIDDEN = {"siren": (8, 32, 64), "rffnet": (16, 32, 64), "mfn": (16, 32, 64)}
SPACE: dict[str, dict[str, Any]] = {
    "init": {"kind": "Categorical", "values": ["random", "shared"]},
    "hidden": {"kind": "Categorical", "values": [8, 16, 32, 64]},
    "steps": {"kind": "Categorical", "values": list(STEPS)},
}
METRICS: list[dict[str, Any]] = [
    {"name": "val_accuracy", "label": "validation accuracy", "direction": "maximize", "split": "val", "domain": [0, 1]},
    {"name": "test_accuracy", "label": "test accuracy", "direction": "maximize", "split": "test", "domain": [0, 1]},
    {"name": "all_psnr", "label": "PSNR", "unit": "dB", "direction": "maximize", "split": "all"},
    {"name": "val_loss", "label": "validation loss", "direction": "minimize", "split": "val"},
    {"name": "test_loss", "label": "test loss", "direction": "minimize", "split": "test"},
]


def cell_plan(phase: str = "phase2", cell: str = "mnist5k/siren", **changes: Any) -> dict[str, Any]:
    """Return one cell of a plan as a driver writes it to the ledger."""
    return {
        "phase": phase, "cell": cell, "task": "classification", "planned": 36, "replicates": 1,
        "objective": {"metric": "val_accuracy", "direction": "maximize"}, "metrics": METRICS,
        "kind": {"name": "image", "quality": [{"name": "psnr", "label": "PSNR", "unit": "dB"}]},
        "sampler": {"name": "Grid"}, "covers_space": True, "space": SPACE, "fixed": {},
    } | changes  # fmt: skip


def trials_of(rows: list[dict[str, Any]]) -> TrialColumns:
    """Convert trials from rows to columns, and add a column with each trial's parameters."""
    names = dict.fromkeys(name for row in rows for name in row)
    free = ("init", "hidden", "steps", "seed", "signals", "field", "classifier")
    parameters = [{name: row[name] for name in free if row.get(name) is not None} for row in rows]
    return TrialColumns({name: [row.get(name) for row in rows] for name in names} | {"parameters": parameters})


def trial(*, field: str = "siren", init: str = "shared", hidden: int = 32, steps: int = 75, seed: int = 0,
          **changes: Any) -> dict[str, Any]:  # fmt: skip
    """Return a complete trial; `changes` replace columns by name."""
    recipe = f"{field}-{init}-{hidden}-{seed}"
    return {
        "key": f"{recipe}-{steps}", "phase": "phase2", "cell": f"mnist5k/{field}", "dataset": recipe, "seed": seed,
        "signals": "mnist5k", "field": field, "init": init, "hidden": hidden, "steps": steps, "classifier": "gnn-sign",
        "val_accuracy": 0.9, "test_accuracy": 0.8, "all_psnr": 20.0, "all_nmi": 0.4, "all_off_grid_ratio_bilinear": 0.9,
        "reused": False, "field_steps": 0.0, "ended_at": 3.0,
    } | changes  # fmt: skip


def outcome(*, field: str, init: str, hidden: int, steps: int) -> dict[str, Any]:
    """Return metrics with a quality that rises with steps and width, and accuracies that show over-training."""
    effort = math.log10(steps) + 0.4 * math.log2(hidden / 8)
    tilt = {"siren": 0.0, "rffnet": 0.4, "mfn": -0.3}[field]
    height, slope = (0.93, 0.045) if init == "shared" else (0.55, 0.03)
    accuracy = max(height - slope * (effort - 2.4 - tilt) ** 2, 0.1)
    return {"all_psnr": 8 + 5.2 * effort + 3 * tilt, "test_accuracy": accuracy, "val_accuracy": accuracy + 0.01}


def synthetic_study() -> TrialColumns:
    """Return complete trials of 3 fields x 2 inits x 3 widths x 6 rungs."""
    rows = []
    for field, init in itertools.product(HIDDEN, ("random", "shared")):
        for hidden, steps in itertools.product(HIDDEN[field], STEPS):
            point: dict[str, Any] = {"field": field, "init": init, "hidden": hidden, "steps": steps}
            rows.append(trial(**point, **outcome(**point)))
    return trials_of(rows)
