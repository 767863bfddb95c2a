"""A trial that does nothing, for measuring a study's overhead apart from fits and classifiers."""

from dataclasses import replace
from math import log10

from nefstudy.tasks.classification import CLASSIFICATION, ClassificationConfig
from nefstudy.tasks.result import TrialResult, UsedDataset
from nefstudy.tasks.setting import Setting

EPOCHS = 50
METRICS = tuple(f"{split}_{name}" for split in ("train", "val", "test") for name in ("loss", "f1", "ece", "top3"))
COSTS = ("all_nmi", "best_epoch", "classifier_parameters", "diverged", "signals", "field_steps")
SECONDS = ("fit_seconds", "classify_seconds")


def noop(config: ClassificationConfig, *, setting: Setting) -> TrialResult:
    """Return a result of realistic size immediately, with a score that is smooth in the parameters."""
    optimizer = config.dataset.optimizer
    score = 0.9 - 0.05 * (log10(optimizer.lr) + 3) ** 2 - 0.02 / max(config.steps, 1)
    scores = {"train_accuracy": score, "val_accuracy": score, "test_accuracy": score}
    metrics = {**scores, "all_psnr": 20.0 + score, "test_psnr": 20.0 + score}
    rungs = setting.ladder(config.dataset.digest, rung=config.steps)
    return TrialResult(
        metrics=metrics | dict.fromkeys((*METRICS, *COSTS), 0.5) | dict.fromkeys(SECONDS, 0.0),
        curves={
            "all_psnr": [(steps, 20.0) for steps in rungs],
            "val_accuracy": [(epoch, score) for epoch in range(EPOCHS)],
        },
        artifacts={},
        fingerprint={"engine": "none"},
        datasets=(
            UsedDataset(
                config.dataset.digest,
                fitted=config.steps == max(rungs),
                rungs=rungs,
                fingerprint={"engine": "none"},
            ),
        ),
    )


NOOP = replace(CLASSIFICATION, run=noop)
"""The classification task with trials that do nothing."""
