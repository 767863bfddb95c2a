"""A small study made up from a formula, with the shapes a real one has."""

from collections.abc import Callable
from typing import Any

import pytest

from nefstudy.insight.trials import Trials
from nefstudy.ledger.rows import TrialRow, TrialState

from ..insight.conftest import made_up_study


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


@pytest.fixture(scope="session")
def row() -> Callable[..., TrialRow]:
    """The maker of one row."""
    return make_row


@pytest.fixture(scope="session")
def study() -> Trials:
    """3 fields x 2 inits x 3 widths x 6 rungs, all finished."""
    return made_up_study()
