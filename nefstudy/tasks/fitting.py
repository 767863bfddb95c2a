"""The `fitting` task: how well a rung of a neural dataset reconstructs its signals, without a classifier."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, final

from nefstudy.config import NeuralDatasetConfig, Steps, TrialConfig, parse
from nefstudy.paths import trial_file, trial_path
from nefstudy.storage import Storage
from nefstudy.tasks.artifacts import reconstruction_png
from nefstudy.tasks.codec import DatasetCodec
from nefstudy.tasks.metrics import fit_metrics, headline_metric
from nefstudy.tasks.obtain import ObtainedDataset, check_survived, fit_result, with_neural_dataset
from nefstudy.tasks.result import TrialResult
from nefstudy.tasks.setting import Setting
from nefstudy.tasks.task import CellSetup, Need, Objective, Point, Task


class FittingConfig(TrialConfig):
    """A fitting trial's configuration: a rung of a neural dataset."""

    task: Literal["fitting"] = "fitting"
    dataset: NeuralDatasetConfig
    steps: Steps


@final
class FittingCodec:
    """A codec for points that specify a neural dataset and its rung."""

    def __init__(self, setup: CellSetup) -> None:
        self._setup = setup
        self._datasets = DatasetCodec(setup)

    def configure(self, point: Point, *, replicate: int = 0) -> FittingConfig:
        """Return the trial configuration of a point."""
        dataset, steps = self._datasets.configure(point, replicate=replicate)
        data = {"dataset": dataset, "steps": steps, "seed": dataset.seed}
        return parse(FittingConfig, data, where=self._setup.label)

    def point(self, config: Mapping[str, Any]) -> Point:
        """Return the parameters of a trial's configuration."""
        return self._datasets.point(config)


def run_fitting(config: FittingConfig, *, setting: Setting) -> TrialResult:
    """Fit or reuse the neural dataset, and measure its quality.

    Raises:
        FitDiverged: fewer than half of the fields survived the fit.
        BadSignals, BadNeuralDataset: the data cannot be read.
    """
    return with_neural_dataset(
        _need(config), setting=setting, then=lambda obtained: _measure(config, obtained, setting)
    )


def _measure(config: FittingConfig, obtained: ObtainedDataset, setting: Setting) -> TrialResult:
    check_survived(obtained.rung, obtained.need)
    names = ("reconstruction.png",) if obtained.signals.kind.picture else ()
    paths = {name: trial_file(config.key, name) for name in names}
    if setting.world.rank == 0:
        storage = Storage.at(setting.root)
        for path in paths.values():
            storage.write(path, reconstruction_png(config.steps, obtained.signals, obtained.dataset))
        storage.remove_half_written(trial_path(config.key))
    return replace(fit_result(obtained), artifacts=paths)


def _need(config: FittingConfig) -> Need:
    return Need(config.dataset, config.steps)


FITTING = Task(
    name="fitting",
    config=FittingConfig,
    codec=FittingCodec,
    needs=lambda config: (_need(config),),
    run=run_fitting,
    metrics=fit_metrics,
    objective=lambda signals: Objective(headline_metric(signals), signals.kind.quality[0].direction),
)
