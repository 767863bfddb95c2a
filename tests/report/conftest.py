"""A small study made up from a formula, with the shapes a real one has."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest

from nefstudy.ledger.rows import TrialRow, TrialState

STEPS = (5, 25, 75, 200, 1000, 5000)
HIDDEN = {"siren": (8, 32, 64), "rffnet": (16, 32, 64), "mfn": (16, 32, 64)}


def make_row(
    *, field: str = "siren", init: str = "shared", hidden: int = 32, steps: int = 75, seed: int = 0, **changes: Any
) -> TrialRow:
    """A finished trial; `changes` replace columns by name."""
    recipe = f"{field}-{init}-{hidden}-{seed}"
    signals = changes.get("signals", "mnist5k")
    values: dict[str, Any] = {
        "study": "made-up", "phase": "phase2", "key": f"{recipe}-{steps}", "cell": f"{signals}/{field}",
        "state": TrialState.COMPLETE, "attempt": 1, "init": init, "field": field, "signals": signals,
        "hidden": hidden, "steps": steps, "classifier": "gnn-sign", "seed": seed, "val_accuracy": 0.9,
        "test_accuracy": 0.8, "quality": 20.0, "metrics": {"all_nmi": 0.4, "all_off_grid_ratio": 0.9},
        "cause": None, "error": None, "dataset": recipe, "fingerprint": {"engine": "eager"}, "reused": False,
        "requested_at": 1.0, "started_at": 2.0, "ended_at": 3.0,
        "config": {"steps": steps, "seed": seed, "classifier": {"name": "gnn-sign"},
                   "dataset": {"init": init, "field": {"name": field, "params": {"hidden": hidden}}}},
    }  # fmt: skip
    return TrialRow(**(values | changes))


def outcome(*, field: str, init: str, hidden: int, steps: int) -> dict[str, float]:
    """Quality that rises with log steps and width; accuracy that rises, then dips from over-training."""
    effort = math.log10(steps) + 0.4 * math.log2(hidden / 8)
    tilt = {"siren": 0.0, "rffnet": 0.4, "mfn": -0.3}[field]
    quality = 8 + 5.2 * effort + 3 * tilt
    height, slope = (0.93, 0.045) if init == "shared" else (0.55, 0.03)
    accuracy = height - slope * (effort - 2.4 - tilt) ** 2
    return {
        "all_psnr": quality,
        "test_accuracy": max(accuracy, 0.1),
        "all_nmi": 0.5 * accuracy**2 if init == "shared" else 0.02 + 0.01 * effort,
        "all_off_grid_ratio": 0.97 - 0.06 * max(effort - 2.4 - tilt, 0) ** 1.5 - (0.02 if init == "random" else 0),
    }


@pytest.fixture(scope="session")
def row() -> Callable[..., TrialRow]:
    """The maker of one row."""
    return make_row


@pytest.fixture(scope="session")
def study_rows() -> list[TrialRow]:
    """3 fields x 2 starts x 3 widths x 6 rungs, all finished."""
    rows = []
    for field, init in itertools.product(HIDDEN, ("random", "shared")):
        for hidden, steps in itertools.product(HIDDEN[field], STEPS):
            found = outcome(field=field, init=init, hidden=hidden, steps=steps)
            quality, accuracy = found["all_psnr"], found.pop("test_accuracy")
            rows.append(
                make_row(
                    field=field, init=init, hidden=hidden, steps=steps, quality=quality,
                    test_accuracy=accuracy, val_accuracy=accuracy + 0.01, metrics=found,
                )
            )  # fmt: skip
    return rows
