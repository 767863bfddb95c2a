"""A plan that brings a task: how far a fit moves its fields from where they start, less being better.

The task needs a neural dataset at two rungs, reports a custom metric, and minimizes it. The status service shows
the study without importing this file: it reads what the driver wrote with the plan.

python studies/examples/own_task.py --root /tmp/examples
"""

from dataclasses import replace
from typing import Any, Literal

from nefstudy.config import NeuralDatasetConfig, SignalsConfig, Steps, TrialConfig, parse
from nefstudy.study.command import main
from nefstudy.study.options import StudyOptions
from nefstudy.study.plan import CellPlan, StudyPlan
from nefstudy.study.samplers import Tpe
from nefstudy.study.space import INIT, Real
from nefstudy.tasks import TASKS, Task
from nefstudy.tasks.codec import DatasetCodec
from nefstudy.tasks.metrics import of_fit
from nefstudy.tasks.obtain import Obtained, described, with_neural_dataset
from nefstudy.tasks.result import TrialResult
from nefstudy.tasks.setting import Setting
from nefstudy.tasks.task import CellSetup, Metric, Need, Objective, Point


class DriftConfig(TrialConfig):
    """A rung of a neural dataset, compared with its initialization."""

    task: Literal["drift"] = "drift"
    dataset: NeuralDatasetConfig
    steps: Steps


class DriftCodec:
    """Points of a neural dataset and its rung."""

    def __init__(self, setup: CellSetup) -> None:
        self._setup, self._datasets = setup, DatasetCodec(setup)

    def configure(self, point: Point, *, replicate: int = 0) -> DriftConfig:
        """Return the trial of one point."""
        dataset, steps = self._datasets.configure(point, replicate=replicate)
        return parse(DriftConfig, {"dataset": dataset, "steps": steps}, where=self._setup.label)

    def point(self, config: Any) -> Point:
        """Return the parameters of a trial's configuration."""
        return self._datasets.point(config)


def run(config: DriftConfig, *, setting: Setting) -> TrialResult:
    """Fit with the initialization as a further rung, and measure the mean distance between the two."""

    def measure(found: Obtained) -> TrialResult:
        moved = (found.rung.parameters - found.dataset.rung(0).parameters).norm(dim=1)
        result = described(found)
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
        *of_fit(signals),
    ),
    objective=lambda _signals: Objective("all_drift", "minimize"),
)


def plan(options: StudyOptions) -> StudyPlan:
    """Return a search for the learning rate and initialization that move fields least."""
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
