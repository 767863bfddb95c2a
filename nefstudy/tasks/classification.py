"""The task of the main study: fit or find a neural dataset, train a classifier on its weights."""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal, final

import numpy as np

from nefstudy.classifiers.catalog import complete as complete_classifier
from nefstudy.classifiers.save import classifier_bytes
from nefstudy.classifiers.scores import embeddings_of
from nefstudy.classifiers.train import Epoch, TrainedClassifier, curves_of, train_classifier
from nefstudy.classifiers.weights import WeightData
from nefstudy.config import ClassifierConfig, NeuralDatasetConfig, Steps, TrialConfig, parse
from nefstudy.errors import BadConfig, BadInput
from nefstudy.evaluation.structure import nmi
from nefstudy.neural_dataset.read import NeuralDataset
from nefstudy.neural_dataset.rung import Rung
from nefstudy.paths import trial_file, trial_path
from nefstudy.seeds import integer
from nefstudy.storage import Storage
from nefstudy.tasks.artifacts import confusion_json, embedding_file, reconstruction_png
from nefstudy.tasks.codec import DatasetCodec
from nefstudy.tasks.metrics import of_fit
from nefstudy.tasks.obtain import Obtained, check_survived, described, with_neural_dataset
from nefstudy.tasks.progress import Working
from nefstudy.tasks.result import TrialResult
from nefstudy.tasks.setting import Setting
from nefstudy.tasks.task import COMMON_SECTIONS, CellSetup, Metric, Need, Objective, Point, SignalTraits, Task

log = logging.getLogger(__name__)

Learned = tuple[np.ndarray, np.ndarray]
"""Features [N, E] and labels [N]."""


class ClassificationConfig(TrialConfig):
    """One rung of one neural dataset, read by one classifier."""

    task: Literal["classification"] = "classification"
    dataset: NeuralDatasetConfig
    steps: Steps
    classifier: ClassifierConfig = ClassifierConfig()


@final
class ClassificationCodec:
    """Points of a neural dataset and its rung, and `classifier`: a word of the cell's classifiers."""

    def __init__(self, setup: CellSetup) -> None:
        self._setup = setup
        self._datasets = DatasetCodec(setup)
        self._classifiers: dict[object, ClassifierConfig] = {}

    def configure(self, point: Point, *, replicate: int = 0) -> ClassificationConfig:
        """Return the trial of one point."""
        rest, setup = dict(point), self._setup
        word = rest.pop("classifier", None)
        dataset, steps = self._datasets.configure(rest, replicate=replicate)
        if word not in self._classifiers:
            self._classifiers[word] = complete_classifier(self._chosen(word), classifiers=setup.catalogs.classifiers)
        seed = integer(setup.seed + replicate, "classifier") % 2**31
        trial = {"dataset": dataset, "steps": steps, "classifier": self._classifiers[word], "seed": seed}
        return parse(ClassificationConfig, trial, where=setup.label)

    def _chosen(self, word: object) -> ClassifierConfig:
        setup = self._setup
        if word is None:
            return setup.classifier
        if word not in setup.classifiers:
            allowed = ", ".join(setup.classifiers) or "none"
            raise BadConfig(
                f"{setup.label}: no classifier {word!r} in this cell; allowed: {allowed}; list it in the plan"
            )
        return setup.classifiers[str(word)]

    def point(self, config: Mapping[str, Any]) -> Point:
        """Return the parameters of a trial's configuration."""
        word = next(self._words(config["classifier"]), None)
        return self._datasets.point(config) | ({} if word is None else {"classifier": word})

    def _words(self, config: Mapping[str, Any]) -> Iterator[str]:
        """Yield the words of the cell for a classifier's configuration."""
        catalog = self._setup.catalogs.classifiers
        for word, classifier in self._setup.classifiers.items():
            try:
                same = complete_classifier(classifier, classifiers=catalog).model_dump(mode="json") == config
            except BadInput:  # a classifier that only the script knows
                same = classifier.name == config["name"]
            if same:
                yield word


def run_classification(config: ClassificationConfig, *, setting: Setting) -> TrialResult:
    """Fit or find the neural dataset, measure it and train the classifier.

    Raises:
        FitDiverged: fewer than half of the fields survived the fit.
        BadSignals, BadNeuralDataset: the data cannot be read.
    """
    return with_neural_dataset(
        _need(config),
        setting=setting,
        check=lambda signals: signals.labels_and_split("a classifier"),  # refused before hours of fitting
        then=lambda found: _classify(config, found, setting),
    )


def _classify(config: ClassificationConfig, obtained: Obtained, setting: Setting) -> TrialResult:
    data = survivors(config, obtained.dataset, obtained.rung)
    read = described(obtained)
    trained, durations = _train(config, data, read, setting=setting)
    learned = _learned(trained, data)
    metrics = {
        "all_nmi": nmi(data.parameters.numpy(), data.labels.numpy(), data.classes, seed=config.seed),
        "test_embedding_nmi": nmi(*learned, data.classes, seed=config.seed),
        **trained.metrics,
        "best_epoch": float(trained.best_epoch),
        "classifier_parameters": float(trained.parameters),
        **durations,
    }
    return replace(
        read,
        metrics={**read.metrics, **metrics},
        curves={**read.curves, **trained.curves},
        artifacts=_keep(config, trained, obtained=obtained, learned=learned, setting=setting),
        confusion=[list(row) for row in trained.test.confusion],
    )


def survivors(config: ClassificationConfig, dataset: NeuralDataset, rung: Rung) -> WeightData:
    """Return the rung's undiverged fields as a classifier takes them.

    Raises:
        FitDiverged: fewer than half survived, or one split lost all of its fields.
    """
    check_survived(rung, _need(config))
    keep = ~rung.diverged
    return WeightData(
        field=dataset.field,
        parameters=rung.parameters[keep],
        labels=rung.labels[keep],
        split=rung.split[keep],
        classes=len(dataset.manifest.card.class_names),
        signals=rung.ids[keep] if config.dataset.views > 1 else None,
    )


def _need(config: ClassificationConfig) -> Need:
    return Need(config.dataset, config.steps)


def _train(
    config: ClassificationConfig, data: WeightData, read: TrialResult, *, setting: Setting
) -> tuple[TrainedClassifier, dict[str, float]]:
    """Return the trained classifier, and the seconds that training and scoring took."""
    began, began_cpu = setting.clock(), setting.cpu_clock() if setting.cpu_clock else 0.0
    trained = train_classifier(
        config.classifier,
        data,
        seed=config.seed,
        classifiers=setting.catalogs.classifiers,
        on_epoch=_epochs(setting, config.classifier.epochs, read=read),
    )
    durations = {"classify_seconds": setting.clock() - began}
    if setting.cpu_clock:
        durations["classify_cpu_seconds"] = setting.cpu_clock() - began_cpu
    return trained, durations


def _learned(trained: TrainedClassifier, data: WeightData) -> Learned:
    """Return learned features of the test split's fields, and their labels."""
    rows = data.rows("test")
    return embeddings_of(trained.reader, data.parameters[rows]).numpy(), data.labels[rows].numpy()


def _keep(
    config: ClassificationConfig,
    trained: TrainedClassifier,
    *,
    obtained: Obtained,
    learned: Learned,
    setting: Setting,
) -> dict[str, str]:
    """Return name -> path of what a trial leaves on disk; rank 0 writes it."""
    pictured = ("reconstruction.png",) if obtained.signals.kind.picture else ()
    names = ("confusion.json", "classifier.safetensors", "embedding.safetensors", *pictured)
    places = {name: trial_file(config.key, name) for name in names}
    if setting.world.rank == 0:
        contents = (
            confusion_json(trained.test, obtained.signals.card.class_names),
            classifier_bytes(trained, fields=setting.catalogs.fields),
            embedding_file(*learned),
            *(reconstruction_png(config.steps, obtained.signals, obtained.dataset) for _ in pictured),
        )
        storage = Storage.at(setting.root)
        for name, content in zip(names, contents, strict=True):
            storage.write(places[name], content)
        storage.sweep(trial_path(config.key))
    return places


def _epochs(setting: Setting, total: int, *, read: TrialResult) -> Callable[[Epoch], None]:
    """Return an epoch callback that logs, reports progress and passes on the result so far."""
    began = setting.clock()
    epochs: list[Epoch] = []

    def report(epoch: Epoch) -> None:
        epochs.append(epoch)
        scores = (epoch.number, total, epoch.train_loss, epoch.train_accuracy, epoch.val_loss, epoch.val_accuracy)
        log.info("epoch %d/%d: train loss %.4f accuracy %.4f, validation loss %.4f accuracy %.4f", *scores)
        if setting.on_progress is not None:
            setting.on_progress(Working("classifying", epoch.number, total, setting.clock() - began))
        if setting.on_epoch is not None:
            setting.on_epoch(epoch.number, total, lambda: replace(read, curves=read.curves | curves_of(epochs)))

    return report


def metrics(signals: SignalTraits) -> tuple[Metric, ...]:
    """Return the metrics that a classification trial reports."""
    return (
        Metric("val_accuracy", "Validation accuracy", direction="maximize", split="val", domain=(0.0, 1.0)),
        Metric("test_accuracy", "Test accuracy", direction="maximize", split="test", domain=(0.0, 1.0)),
        Metric("train_accuracy", "Training accuracy", direction="maximize", split="train", domain=(0.0, 1.0)),
        Metric("val_loss", "Validation loss", unit="nats", direction="minimize", split="val"),
        Metric("train_loss", "Training loss", unit="nats", direction="minimize", split="train"),
        Metric("all_nmi", "NMI of the weights", split="all", domain=(0.0, 1.0)),
        Metric("test_embedding_nmi", "NMI of learned features", split="test", domain=(0.0, 1.0)),
        Metric("best_epoch", "Best epoch"),
        Metric("classifier_parameters", "Classifier parameters"),
        Metric("classify_seconds", "Training time", unit="s"),
        Metric("classify_cpu_seconds", "CPU time of training", unit="s"),
        *of_fit(signals),
    )


CLASSIFICATION = Task(
    name="classification",
    config=ClassificationConfig,
    codec=ClassificationCodec,
    needs=lambda config: (_need(config),),
    run=run_classification,
    metrics=metrics,
    objective=lambda _signals: Objective("val_accuracy"),
    curve="val_accuracy",
    sections=(*COMMON_SECTIONS, "scatter", "pareto", "classifiers"),
)
