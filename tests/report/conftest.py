"""A small synthetic study with the structure of a real one."""

from collections.abc import Callable
from typing import Any

import pytest

from nefstudy.insight.trials import TrialColumns
from nefstudy.ledger.sql.rows import TrialRow, TrialState

from ..insight.synthetic_study import synthetic_study


def make_row(
    *, field: str = "siren", init: str = "shared", hidden: int = 32, steps: int = 75, seed: int = 0, **changes: Any
) -> TrialRow:
    """Return a finished trial; `changes` replace columns, metrics, accuracies and quality by name."""
    recipe = f"{field}-{init}-{hidden}-{seed}"
    signals, classifier = changes.pop("signals", "mnist5k"), changes.pop("classifier", "gnn-sign")
    metrics = changes.pop("metrics", {"all_nmi": 0.4, "all_off_grid_ratio_bilinear": 0.9})
    measured = {"val_accuracy": 0.9, "test_accuracy": 0.8, "quality": 20.0}
    measured |= {name: changes.pop(name) for name in measured if name in changes}
    quality = measured.pop("quality")
    measured |= {} if "all_iou" in metrics else {"all_psnr": quality}
    values: dict[str, Any] = {
        "study": "made-up", "phase": "phase2", "key": f"{recipe}-{steps}", "cell": f"{signals}/{field}",
        "task": "classification", "state": TrialState.COMPLETE, "attempt": 1, "seed": seed,
        "parameters": {"init": init, "field": field, "signals": signals, "hidden": hidden, "steps": steps,
                       "classifier": classifier, "seed": seed},
        "metrics": {name: value for name, value in measured.items() if value is not None} | metrics,
        "score": measured["val_accuracy"], "cause": None, "error": None, "dataset": recipe, "needs": (recipe,),
        "fingerprint": {"engine": "eager"}, "reused": False,
        "requested_at": 1.0, "started_at": 2.0, "ended_at": 3.0,
        "config": {"steps": steps, "seed": seed, "classifier": {"name": "gnn-sign"},
                   "dataset": {"init": init, "field": {"name": field, "params": {"hidden": hidden}}}},
    }  # fmt: skip
    return TrialRow(**(values | changes))


@pytest.fixture(scope="session")
def row() -> Callable[..., TrialRow]:
    """Return a function that makes a trial row."""
    return make_row


@pytest.fixture(scope="session")
def study() -> TrialColumns:
    """Return the trials of a study with 3 fields x 2 inits x 3 widths x 6 rungs, all of them finished."""
    return synthetic_study()
