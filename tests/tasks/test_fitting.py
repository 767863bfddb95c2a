"""Tests of the fitting task."""

import time
from pathlib import Path

import pytest

from nefstudy.config import (
    ClassifierConfig,
    FieldConfig,
    NeuralDatasetConfig,
    OptimizerConfig,
    SignalsConfig,
    TrialConfig,
)
from nefstudy.errors import FitDiverged
from nefstudy.fields.catalog import complete
from nefstudy.signals.kinds import IMAGE
from nefstudy.tasks.catalog import TASKS
from nefstudy.tasks.classification import ClassificationConfig
from nefstudy.tasks.fitting import FittingConfig
from nefstudy.tasks.result import TrialResult
from nefstudy.tasks.setting import Setting
from nefstudy.tasks.task import SignalTraits

QUICK = ClassifierConfig(name="mlp", epochs=2)


def recipe(field: str = "siren", *, lr: float = 1e-3) -> NeuralDatasetConfig:
    """Return the recipe of small fields fitted to 120 digits."""
    return NeuralDatasetConfig(
        signals=SignalsConfig(name="digits8", subset=120),
        field=complete(FieldConfig(name=field, params={"hidden": 8})),
        init="shared",
        optimizer=OptimizerConfig(lr=lr),
    )


def run(task: str, config: TrialConfig, root: Path) -> TrialResult:
    return TASKS[task].run(config, setting=Setting(root=str(root), clock=time.monotonic))


@pytest.mark.slow
def test_quality_equals_that_of_a_classification_on_the_same_rung(tmp_path) -> None:
    """A fitting trial and a classification of the same rung share one fit and have equal quality metrics."""
    fitted = run("fitting", FittingConfig(dataset=recipe(), steps=4), tmp_path)
    classified = run("classification", ClassificationConfig(dataset=recipe(), steps=4, classifier=QUICK), tmp_path)
    assert [used.fitted for used in (*fitted.datasets, *classified.datasets)] == [True, False]
    names = [name for name in fitted.metrics if name.endswith(("psnr", "ssim", "ratio"))]
    assert {name.partition("_")[0] for name in names} == {"all", "val", "test"}
    assert {name: fitted.metrics[name] for name in names} == {name: classified.metrics[name] for name in names}
    assert (tmp_path / fitted.artifacts["reconstruction.png"]).read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_a_task_reports_what_it_declares(task: str, tmp_path) -> None:
    """The reported metrics are those that the task declares, and the objective is one of them."""
    own = {"classifier": QUICK} if task == "classification" else {}
    config = TASKS[task].config.model_validate({"task": task, "dataset": recipe(), "steps": 4, **own})
    result = run(task, config, tmp_path)
    declared = {metric.name: metric for metric in TASKS[task].metrics(SignalTraits(IMAGE))}
    assert set(result.metrics) == set(declared) - {"classify_cpu_seconds"}  # there is no CPU clock
    objective = TASKS[task].objective(SignalTraits(IMAGE))
    assert declared[objective.metric].direction == objective.direction


def test_a_diverged_fit_fails(tmp_path) -> None:
    """A learning rate that is far too high raises an error that names the learning rate and the step count."""
    with pytest.raises(FitDiverged, match=r"4 steps .*lr 1e\+09"):
        run("fitting", FittingConfig(dataset=recipe("rffnet", lr=1e9), steps=4), tmp_path)
