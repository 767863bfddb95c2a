"""A plan with a custom task, which measures how far a fit moves fields from their initialization (lower is better).

The task needs a neural dataset at two rungs, reports a custom metric and minimizes it. The status service shows
the study without importing this file: it reads what the driver wrote with the plan.

python studies/examples/own_task.py --root /tmp/examples
"""

from dataclasses import replace
from typing import Any, Literal

from nefstudy.config import NeuralDatasetConfig, SignalsConfig, Steps, TrialConfig, parse
from nefstudy.study.command import main
from nefstudy.study.options import StudyOptions
from nefstudy.study.plan.study_plan import CellPlan, StudyPlan
from nefstudy.study.samplers import Tpe
from nefstudy.study.space import INIT, Real
from nefstudy.tasks import TASKS, Task
from nefstudy.tasks.codec import DatasetCodec
from nefstudy.tasks.metrics import fit_metrics
from nefstudy.tasks.obtain import ObtainedDataset, fit_result, with_neural_dataset
from nefstudy.tasks.result import TrialResult
from nefstudy.tasks.setting import Setting
from nefstudy.tasks.task import CellSetup, Metric, Need, Objective, Point


class DriftConfig(TrialConfig):
    """The configuration of a trial: a rung of a neural dataset to compare with its initialization."""

    task: Literal["drift"] = "drift"
    dataset: NeuralDatasetConfig
    steps: Steps


class DriftCodec:
    """A codec between points of the search space and configurations of trials."""

    def __init__(self, setup: CellSetup) -> None:
        self._setup, self._datasets = setup, DatasetCodec(setup)

    def configure(self, point: Point, *, replicate: int = 0) -> DriftConfig:
        """Return the configuration of the trial at a point."""
        dataset, steps = self._datasets.configure(point, replicate=replicate)
        return parse(DriftConfig, {"dataset": dataset, "steps": steps}, where=self._setup.label)

    def point(self, config: Any) -> Point:
        """Return the point of a trial's configuration."""
        return self._datasets.point(config)


def run(config: DriftConfig, *, setting: Setting) -> TrialResult:
    """Fit with an additional rung at step 0, and measure the mean distance between initial and fitted parameters."""

    def measure(found: ObtainedDataset) -> TrialResult:
        moved = (found.rung.parameters - found.dataset.rung(0).parameters).norm(dim=1)
        result = fit_result(found)
        return replace(result, metrics=result.metrics | {"all_drift": float(moved.mean())})

    ladder = {config.dataset.digest: (0, config.steps)}
    return with_neural_dataset(
        Need(config.dataset, config.steps), setting=replace(setting, ladders=ladder), then=measure
    )


DRIFT = Task(
    name="drift",
    config=DriftConfig,
    codec=DriftCodec,
    needs=lambda config: (Need(config.dataset, config.steps),),
    run=run,
    metrics=lambda signals: (
        Metric("all_drift", "Distance from the initialization", direction="minimize", split="all"),
        *fit_metrics(signals),
    ),
    objective=lambda _signals: Objective("all_drift", "minimize"),
)


def plan(options: StudyOptions) -> StudyPlan:
    """Return a plan that searches for the learning rate and initialization that change the fields least."""
    cell = CellPlan(
        phase="search",
        signals=SignalsConfig(name="digits8", subset=200),
        field="siren",
        space={"init": INIT, "lr": Real(1e-4, 1e-2, log=True)},
        fixed={"hidden": 16, "steps": 20},
        sampler=Tpe(options.trials or 8),
        task="drift",
    )
    return StudyPlan(
        study=options.study or "own-task", cells=(cell,), seed=options.seed, tasks=TASKS | {"drift": DRIFT}
    )


if __name__ == "__main__":
    main(plan, about="Search for the fit that moves its fields least, by a custom task. Run it again to continue.")
