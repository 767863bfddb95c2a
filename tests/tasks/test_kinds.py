"""Laws of trials on signals of a user's kind: classified where they have classes, refused before the fit where not."""

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
    measure=lambda signals, predict: {"psnr": psnr(predict(signals.coordinates()), signals.originals())},
    axes=1,
)


def clips(config: SignalsConfig) -> Signals:
    """Twenty sines, slow and fast."""
    time_T, phase = np.linspace(-1, 1, 24, dtype=np.float32), np.linspace(0, 3, 20, dtype=np.float32)
    labels = np.arange(20) % 2
    waves = 0.5 + 0.4 * np.sin((3 + 6 * labels[:, None]) * time_T + phase[:, None])
    words = {"license": "none", "source": "computed"}
    return signal_set(
        waves[..., None].astype(np.float32),
        kind=AUDIO,
        config=config,
        labels=labels,
        class_names=("slow", "fast"),
        **words,
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
    trial = TASKS[task].config(task=task, dataset=dataset, steps=20, **own)
    ladders, catalogs = {dataset.digest: (0, 20)}, Catalogs(signals={"clips": source})
    setting = Setting(root=str(root), ladders=ladders, clock=time.monotonic, catalogs=catalogs)
    return TASKS[task].run(trial, setting=setting)


@pytest.mark.slow
def test_a_users_kind_is_classified_and_measured_on_every_split(tmp_path: Path):
    """Clips with classes give accuracies and a PSNR of all, validation and test; without pictures, no picture."""
    found = run(clips, tmp_path)
    assert {"val_accuracy", "test_accuracy", "all_psnr", "val_psnr", "test_psnr"} <= set(found.metrics)
    assert len({found.metrics[f"{part}_psnr"] for part in ("all", "val", "test")}) == 3
    assert [step for step, _ in found.curves["all_psnr"]] == [0, 20]
    assert set(found.artifacts) == {"confusion.json", "classifier.safetensors", "embedding.safetensors"}


def test_signals_without_classes_are_refused_before_the_fit(tmp_path: Path):
    """No field is fitted for a classifier that could not be trained."""
    with pytest.raises(BadSignals, match="signals 'clips' have no labels, which a classifier needs"):
        run(unlabeled, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_signals_without_classes_are_fitted_and_judged_by_all_of_them(tmp_path: Path):
    """The task without a classifier takes them; its default objective is the quality over all signals."""
    whole = replace(unlabeled(SignalsConfig(name="clips")), split=None)
    found = run(lambda _config: whole, tmp_path, task="fitting")
    traits = SignalTraits(AUDIO, split=False)
    objective = TASKS["fitting"].objective(traits)
    assert objective.metric == "all_psnr"
    assert {metric.name for metric in TASKS["fitting"].metrics(traits)} == set(found.metrics)
