"""Tests of user-defined kinds of signals in trials: classification needs labels, fitting does not."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nefstudy.config import ClassifierConfig, FieldConfig, NeuralDatasetConfig, SignalsConfig
from nefstudy.errors import BadSignals
from nefstudy.evaluation.reconstruction import psnr
from nefstudy.fields.catalog import complete
from nefstudy.signals.signal import Quality, SignalKind, Signals
from nefstudy.signals.signal_set import signal_set
from nefstudy.tasks.catalog import TASKS
from nefstudy.tasks.setting import Catalogs, Setting
from nefstudy.tasks.task import SignalTraits

AUDIO = SignalKind(
    name="audio",
    label="Audio",
    nouns="clips",
    loss="mse",
    quality=(Quality("psnr", "PSNR", unit="dB"),),
    measure=lambda signals, predict: {"psnr": psnr(predict(signals.grid_coords()), signals.originals())},
    axes=1,
)


def clips(config: SignalsConfig) -> Signals:
    """Return twenty sine waves, half of them slow and half of them fast."""
    time_T, phase = np.linspace(-1, 1, 24, dtype=np.float32), np.linspace(0, 3, 20, dtype=np.float32)
    labels = np.arange(20) % 2
    sines = 0.5 + 0.4 * np.sin((3 + 6 * labels[:, None]) * time_T + phase[:, None])
    return signal_set(
        sines[..., None].astype(np.float32),
        kind=AUDIO,
        config=config,
        labels=labels,
        class_names=("slow", "fast"),
        license="none",
        source="computed",
    )


def unlabeled(config: SignalsConfig) -> Signals:
    return replace(clips(config), labels=None, card=replace(clips(config).card, class_names=()))


def run(source, root: Path, *, task: str = "classification"):
    dataset = NeuralDatasetConfig(
        signals=SignalsConfig(name="clips"),
        field=complete(FieldConfig(name="siren", params={"hidden": 8})),
        init="shared",
    )
    own = {"classifier": ClassifierConfig(name="mlp", epochs=2)} if task == "classification" else {}
    trial = TASKS[task].config.model_validate({"task": task, "dataset": dataset, "steps": 20, **own})
    ladders, catalogs = {dataset.digest: (0, 20)}, Catalogs(signals={"clips": source})
    setting = Setting(root=str(root), ladders=ladders, clock=time.monotonic, catalogs=catalogs)
    return TASKS[task].run(trial, setting=setting)


@pytest.mark.slow
def test_a_users_kind_is_classified_and_measured_on_every_split(tmp_path: Path):
    """Labeled signals of a user-defined kind are classified, and their PSNR is measured on every split.

    A kind without `picture` yields no picture.
    """
    result = run(clips, tmp_path)
    assert {"val_accuracy", "test_accuracy", "all_psnr", "val_psnr", "test_psnr"} <= set(result.metrics)
    assert len({result.metrics[f"{part}_psnr"] for part in ("all", "val", "test")}) == 3
    assert [step for step, _ in result.curves["all_psnr"]] == [0, 20]
    assert set(result.artifacts) == {"confusion.json", "classifier.safetensors", "embedding.safetensors"}


def test_signals_without_labels_are_refused_before_the_fit(tmp_path: Path):
    """Classifying unlabeled signals raises an error before anything is fitted."""
    with pytest.raises(BadSignals, match=r"'clips' .*labels"):
        run(unlabeled, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_signals_without_labels_are_fitted_and_measured(tmp_path: Path):
    """The fitting task accepts unlabeled signals. Without splits, the objective is the quality over all signals."""
    unsplit = replace(unlabeled(SignalsConfig(name="clips")), split=None)
    result = run(lambda _config: unsplit, tmp_path, task="fitting")
    traits = SignalTraits(AUDIO, split=False)
    objective = TASKS["fitting"].objective(traits)
    assert objective.metric == "all_psnr"
    assert {metric.name for metric in TASKS["fitting"].metrics(traits)} == set(result.metrics)
