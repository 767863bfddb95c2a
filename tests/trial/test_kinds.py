"""Laws of trials on signals of a user's kind: classified where they have classes, refused before the fit where not."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nefstudy.config import ClassifierConfig, FieldConfig, NeuralDatasetConfig, SignalsConfig, TrialConfig
from nefstudy.errors import BadSignals
from nefstudy.evaluation.reconstruction import psnr
from nefstudy.fields.catalog import complete
from nefstudy.signals.signal import Quality, SignalKind, Signals
from nefstudy.signals.signal_set import signal_set
from nefstudy.trial.experiment import Choices, Setting, run_trial

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


def run(source, root: Path):
    dataset = NeuralDatasetConfig(
        signals=SignalsConfig(name="clips"),
        field=complete(FieldConfig(name="siren", params={"hidden": 8})),
        init="shared",
    )
    trial = TrialConfig(dataset=dataset, steps=20, classifier=ClassifierConfig(name="mlp", epochs=2))
    setting = Setting(root=str(root), rungs=(0, 20), clock=time.monotonic, choices=Choices(signals={"clips": source}))
    return run_trial(trial, setting=setting)


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
