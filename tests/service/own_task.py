"""A study of a custom task that minimizes its objective.

The task has no fields, initializations, steps or neural datasets.
"""

from nefstudy.ledger import CellRecord, Ledger, TrialRecord

from .small_study import STUDY

SPLITS = {"val": "validation", "test": "test"}
PLAN = {
    "cells": [
        {
            "phase": "look", "cell": "mine", "task": "mine", "planned": 30, "sampler": {"name": "Random"},
            "objective": {"metric": "val_error", "direction": "minimize"}, "kind": "image",
            "metrics": [
                {"name": f"{name}_error", "label": f"{word} error", "unit": "m", "split": name, "direction": "minimize"}
                for name, word in SPLITS.items()
            ],
            "sections": ["best", "importance", "parallel"],
            "space": {"width": {"kind": "Real", "low": 0.0, "high": 1.0, "log": False}},
        }
    ]
}  # fmt: skip


def fill_own_study(ledger: Ledger) -> None:
    """Record 25 complete trials in a ledger; the error is smallest at a width of 0.4."""
    cell = CellRecord(planned=30, task="mine", metric="val_error", direction="minimize")
    ledger.studies.put(STUDY, PLAN, cells={("look", "mine"): cell})
    for number in range(25):
        width = number / 25
        key, config = f"{number:08x}", f'{{"width":{width}}}'
        record = TrialRecord(key=key, task="mine", cell="mine", seed=0, config=config, parameters={"width": width})
        token = ledger.trials.request(STUDY, "look", record=record)
        metrics = {"val_error": abs(width - 0.4) + 0.1, "test_error": abs(width - 0.4) + 0.2}
        ledger.trials.complete(STUDY, "look", key=key, token=token, metrics=metrics)
