"""Two custom tasks, one whose trials need two neural datasets and one whose trials need none."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from nefstudy.config import NeuralDatasetConfig, SignalsConfig, Steps, TrialConfig, parse
from nefstudy.study.driver.run import StudyRun
from nefstudy.study.plan.study_plan import CellPlan, StudyPlan
from nefstudy.study.samplers import Grid, Tpe
from nefstudy.study.space import Categorical, Real, Space
from nefstudy.tasks.catalog import TASKS
from nefstudy.tasks.codec import DatasetCodec
from nefstudy.tasks.obtain import ObtainedDataset, fit_result, with_neural_datasets
from nefstudy.tasks.result import TrialResult
from nefstudy.tasks.setting import Setting
from nefstudy.tasks.task import CellSetup, Metric, Need, Objective, Point, Task
from nefstudy.trial.result_check import checked, read_result

SIGNALS = SignalsConfig(name="digits8", subset=30)


class PairConfig(TrialConfig):
    """The configuration of a trial that reads two neural datasets of one signal set at the same step count."""

    task: Literal["pair"] = "pair"
    first: NeuralDatasetConfig
    second: NeuralDatasetConfig
    steps: Steps


class PairCodec:
    """The codec of PairConfig: a point describes both neural datasets, but the first always has the init `shared`."""

    def __init__(self, setup: CellSetup) -> None:
        self._setup, self._datasets = setup, DatasetCodec(setup)

    def configure(self, point: Point, *, replicate: int = 0) -> PairConfig:
        first, _ = self._datasets.configure(point | {"init": "shared"}, replicate=replicate)
        second, steps = self._datasets.configure(point, replicate=replicate)
        return parse(PairConfig, {"first": first, "second": second, "steps": steps}, where=self._setup.label)

    def point(self, config: Mapping[str, Any]) -> Point:
        return self._datasets.point({"dataset": config["second"], "steps": config["steps"]})


def pair_needs(config: TrialConfig) -> tuple[Need, ...]:
    assert isinstance(config, PairConfig)
    return Need(config.first, config.steps), Need(config.second, config.steps)


def run_pair(config: PairConfig, *, setting: Setting) -> TrialResult:
    """Return a result whose metric is the difference in quality between two neural datasets."""

    def compare(both: tuple[ObtainedDataset, ...]) -> TrialResult:
        first, second = (fit_result(one).metrics["all_psnr"] for one in both)
        return TrialResult(
            metrics={"all_gap": abs(first - second), "field_steps": sum(one.field_steps for one in both)},
            fingerprint=both[0].used.fingerprint,
            datasets=tuple(one.used for one in both),
        )

    return with_neural_datasets(pair_needs(config), setting=setting, then=compare)


PAIR = Task(
    name="pair",
    config=PairConfig,
    codec=PairCodec,
    needs=pair_needs,
    run=run_pair,
    metrics=lambda _signals: (
        Metric("all_gap", "PSNR difference", unit="dB", direction="maximize", split="all"),
        Metric("field_steps", "Field steps"),
    ),
    objective=lambda _signals: Objective("all_gap"),
)


class PlainConfig(TrialConfig):
    """The configuration of a trial that only reports a number, with a seed that distinguishes replicates."""

    task: Literal["plain"] = "plain"
    width: float


class PlainCodec:
    """The codec of PlainConfig, whose points consist of one number."""

    def __init__(self, setup: CellSetup) -> None:
        self._setup = setup

    def configure(self, point: Point, *, replicate: int = 0) -> PlainConfig:
        return parse(PlainConfig, {**point, "seed": self._setup.seed + replicate}, where=self._setup.label)

    def point(self, config: Mapping[str, Any]) -> Point:
        return {"width": config["width"]}


def run_plain(config: PlainConfig, *, setting: Setting) -> TrialResult:
    """Return the number in the configuration as the trial's metric, without reading or writing files."""
    assert not setting.ladders
    return TrialResult({"height": config.width})


PLAIN = Task(
    name="plain",
    config=PlainConfig,
    codec=PlainCodec,
    needs=lambda _config: (),
    run=run_plain,
    metrics=lambda _signals: (Metric("height", "Height", direction="maximize"),),
    objective=lambda _signals: Objective("height"),
)

PAIRS = CellPlan(
    phase="look",
    signals=SIGNALS,
    field="siren",
    space={
        "init": Categorical(("random", "shared")),
        "hidden": Categorical((4, 6)),
        "steps": Categorical((1, 2)),
    },
    fixed={"layers": 2},
    task="pair",
    label="pairs",
)
"""Eight trials on four neural datasets: of every width a random and a shared one, compared with the shared one."""


def plain_cell(sampler: Grid | Tpe, **changes: Any) -> CellPlan:
    """Return a cell whose trials need no neural datasets."""
    space: Space = {"width": Categorical((1.0, 2.0, 3.0)) if isinstance(sampler, Grid) else Real(1.0, 2.0)}
    cell: dict[str, Any] = {
        "phase": "look",
        "label": "plain",
        "task": "plain",
        "space": space,
        "sampler": sampler,
        **changes,
    }
    return CellPlan(signals=SIGNALS, field="none", **cell)


def plan_of(*cells: CellPlan, seed: int = 0) -> StudyPlan:
    """Return a plan that supports the custom tasks of this module."""
    return StudyPlan(study="s", cells=cells, seed=seed, tasks=TASKS | {"pair": PAIR, "plain": PLAIN})


def perform(run: StudyRun, root: Path, *, most: int = 1000) -> list[TrialResult]:
    """Run up to `most` trials one at a time, as a worker does, and return their results."""
    results: list[TrialResult] = []
    while len(results) < most and (suggestion := run.next("t")) is not None:
        run.started("t")
        setting = Setting(root=str(root), clock=time.monotonic, ladders=suggestion.ladders, engine="eager")
        task = run.plan.tasks[suggestion.trial.task]
        result = checked(task.run(suggestion.trial, setting=setting), expected=suggestion.expected)
        results.append(read_result(result.to_json(), expected=suggestion.expected))
        run.completed("t", results[-1])
    return results
