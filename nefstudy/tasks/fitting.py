"""The task of a fit alone: how well a rung of a neural dataset reconstructs its signals."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, final

from nefstudy.config import NeuralDatasetConfig, Steps, TrialConfig, parse
from nefstudy.paths import trial_file, trial_path
from nefstudy.storage import Storage
from nefstudy.tasks.artifacts import reconstruction_png
from nefstudy.tasks.codec import DatasetCodec
from nefstudy.tasks.metrics import headline, of_fit
from nefstudy.tasks.obtain import Obtained, check_survived, described, with_neural_dataset
from nefstudy.tasks.result import TrialResult
from nefstudy.tasks.setting import Setting
from nefstudy.tasks.task import CellSetup, Need, Objective, Point, Task


class FittingConfig(TrialConfig):
    """One rung of one neural dataset."""

    task: Literal["fitting"] = "fitting"
    dataset: NeuralDatasetConfig
    steps: Steps


@final
class FittingCodec:
    """Points of a neural dataset and its rung."""

    def __init__(self, setup: CellSetup) -> None:
        self._setup = setup
        self._datasets = DatasetCodec(setup)

    def configure(self, point: Point, *, replicate: int = 0) -> FittingConfig:
        """Return the trial of one point."""
        dataset, steps = self._datasets.configure(point, replicate=replicate)
        data = {"dataset": dataset, "steps": steps, "seed": dataset.seed}
        return parse(FittingConfig, data, where=self._setup.label)

    def point(self, config: Mapping[str, Any]) -> Point:
        """Return the parameters of a trial's configuration."""
        return self._datasets.point(config)


def run_fitting(config: FittingConfig, *, setting: Setting) -> TrialResult:
    """Fit or find the neural dataset and measure its quality.

    Raises:
        FitDiverged: fewer than half of the fields survived the fit.
        BadSignals, BadNeuralDataset: the data cannot be read.
    """
    return with_neural_dataset(_need(config), setting=setting, then=lambda found: _measure(config, found, setting))


def _measure(config: FittingConfig, obtained: Obtained, setting: Setting) -> TrialResult:
    check_survived(obtained.rung, obtained.need)
    names = ("reconstruction.png",) if obtained.signals.kind.picture else ()
    places = {name: trial_file(config.key, name) for name in names}
    if setting.world.rank == 0:
        storage = Storage.at(setting.root)
        for path in places.values():
            storage.write(path, reconstruction_png(config.steps, obtained.signals, obtained.dataset))
        storage.sweep(trial_path(config.key))
    return replace(described(obtained), artifacts=places)


def _need(config: FittingConfig) -> Need:
    return Need(config.dataset, config.steps)


FITTING = Task(
    name="fitting",
    config=FittingConfig,
    codec=FittingCodec,
    needs=lambda config: (_need(config),),
    run=run_fitting,
    metrics=of_fit,
    objective=lambda signals: Objective(headline(signals), signals.kind.quality[0].direction),
)
