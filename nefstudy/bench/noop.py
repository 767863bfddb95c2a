"""A trial that does nothing: what remains of a study when fitting and reading weights cost no time."""

from math import log10

from nefstudy.config import TrialConfig
from nefstudy.trial.experiment import Setting
from nefstudy.trial.result import TrialResult

EPOCHS = 50
METRICS = tuple(f"{split}_{name}" for split in ("train", "val", "test") for name in ("loss", "f1", "ece", "top3"))
COSTS = ("all_nmi", "best_epoch", "classifier_parameters", "diverged", "signals", "field_steps")
SECONDS = ("fit_seconds", "classify_seconds")


def noop(config: TrialConfig, *, setting: Setting) -> TrialResult:
    """A result as long as a real one (some 25 metrics, two curves), at once; a smooth function of the point."""
    optimizer = config.dataset.optimizer
    score = 0.9 - 0.05 * (log10(optimizer.lr) + 3) ** 2 - 0.02 / max(config.steps, 1)
    scores = {"train_accuracy": score, "val_accuracy": score, "test_accuracy": score}
    metrics = {**scores, "all_psnr": 20.0 + score, "test_psnr": 20.0 + score}
    longest = max(setting.rungs)
    return TrialResult(
        metrics=metrics | dict.fromkeys((*METRICS, *COSTS), 0.5) | dict.fromkeys(SECONDS, 0.0),
        curves={
            "all_psnr": [(steps, 20.0) for steps in setting.rungs],
            "val_accuracy": [(epoch, score) for epoch in range(EPOCHS)],
        },
        artifacts={},
        fingerprint={"engine": "none"},
        dataset=config.dataset.digest,
        fitted=config.steps == longest,
        rungs=setting.rungs,
    )
