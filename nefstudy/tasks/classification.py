"""The `classification` task: fit or reuse a neural dataset, then train a classifier on its weights."""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal, final

import numpy as np
import torch

from nefstudy.classifiers.catalog import complete as complete_classifier
from nefstudy.classifiers.save import FILE_NAME, classifier_bytes
from nefstudy.classifiers.scores import Scores, embeddings_of
from nefstudy.classifiers.train import Epoch, TrainedClassifier, curves_of, train_classifier
from nefstudy.classifiers.weights import WeightData
from nefstudy.config import ClassifierConfig, NeuralDatasetConfig, Steps, TrialConfig, parse
from nefstudy.errors import BadConfig, BadInput
from nefstudy.evaluation.structure import agreement
from nefstudy.inits.catalog import INITS
from nefstudy.neural_dataset.read import NeuralDataset
from nefstudy.neural_dataset.rung import Rung
from nefstudy.paths import trial_file, trial_path
from nefstudy.seeds import integer
from nefstudy.signals.signal import SPLITS, Split
from nefstudy.storage import Storage
from nefstudy.tasks.artifacts import confusion_json, embedding_file, reconstruction_png
from nefstudy.tasks.codec import DatasetCodec
from nefstudy.tasks.metrics import fit_metrics
from nefstudy.tasks.obtain import ObtainedDataset, check_survived, fit_result, with_neural_dataset
from nefstudy.tasks.progress import TrialProgress
from nefstudy.tasks.result import TrialResult
from nefstudy.tasks.setting import Setting
from nefstudy.tasks.task import COMMON_SECTIONS, CellSetup, Metric, Need, Objective, Point, SignalTraits, Task

log = logging.getLogger(__name__)

Learned = tuple[np.ndarray, np.ndarray]
"""Features [N, E] and labels [N]."""


class ClassificationConfig(TrialConfig):
    """A classification trial's configuration: a rung of a neural dataset, and a classifier to train on its fields."""

    task: Literal["classification"] = "classification"
    dataset: NeuralDatasetConfig
    steps: Steps
    classifier: ClassifierConfig = ClassifierConfig()


@final
class ClassificationCodec:
    """A codec for points that specify a neural dataset, its rung and one of the cell's classifiers by name."""

    def __init__(self, setup: CellSetup) -> None:
        self._setup = setup
        self._datasets = DatasetCodec(setup)
        self._classifiers: dict[object, ClassifierConfig] = {}

    def configure(self, point: Point, *, replicate: int = 0) -> ClassificationConfig:
        """Return the trial configuration of a point."""
        rest, setup = dict(point), self._setup
        name = rest.pop("classifier", None)
        dataset, steps = self._datasets.configure(rest, replicate=replicate)
        if name not in self._classifiers:
            self._classifiers[name] = complete_classifier(self._named(name), classifiers=setup.catalogs.classifiers)
        seed = integer(setup.seed + replicate, "classifier") % 2**31
        trial = {"dataset": dataset, "steps": steps, "classifier": self._classifiers[name], "seed": seed}
        return parse(ClassificationConfig, trial, where=setup.label)

    def _named(self, name: object) -> ClassifierConfig:
        """Return the cell's classifier with the given name; None selects the cell's default."""
        setup = self._setup
        if name is None:
            return setup.classifier
        if name not in setup.classifiers:
            allowed = ", ".join(setup.classifiers) or "none"
            raise BadConfig(
                f"{setup.label}: classifier {name!r} is not in this cell; allowed: {allowed}; add it to the plan"
            )
        return setup.classifiers[str(name)]

    def point(self, config: Mapping[str, Any]) -> Point:
        """Return the parameters of a trial's configuration, which may lack a classifier."""
        name = next(self._names(config["classifier"]), None) if "classifier" in config else None
        return self._datasets.point(config) | ({} if name is None else {"classifier": name})

    def _names(self, config: Mapping[str, Any]) -> Iterator[str]:
        """Yield the names that the cell gives to a classifier configuration."""
        catalog = self._setup.catalogs.classifiers
        for name, classifier in self._setup.classifiers.items():
            try:
                is_same = complete_classifier(classifier, classifiers=catalog).model_dump(mode="json") == config
            except BadInput:  # a classifier that is defined in the study script only
                is_same = classifier.name == config["name"]
            if is_same:
                yield name


def run_classification(config: ClassificationConfig, *, setting: Setting) -> TrialResult:
    """Fit or reuse the neural dataset, measure its quality and train the classifier.

    Raises:
        FitDiverged: fewer than half of the fields survived the fit.
        BadSignals, BadNeuralDataset: the data cannot be read.
    """
    return with_neural_dataset(
        _need(config),
        setting=setting,
        check=lambda signals: signals.labels_and_split("a classifier"),  # before hours of fitting
        then=lambda obtained: _classify(config, obtained, setting),
    )


def _classify(config: ClassificationConfig, obtained: ObtainedDataset, setting: Setting) -> TrialResult:
    data = survivors(config, obtained.dataset, obtained.rung, inits=setting.catalogs.inits)
    fit = fit_result(obtained)
    trained, durations = _train(config, data, fit, setting=setting)
    learned, (split, scores) = _learned(trained, data), trained.held_out
    of_weights = agreement(data.parameters.numpy(), data.labels.numpy(), data.classes, seed=config.seed)
    of_features = agreement(*learned, data.classes, seed=config.seed)
    metrics = {
        "all_nmi": of_weights.nmi,
        "all_ami": of_weights.ami,
        "clustered": float(of_weights.n),
        f"{split}_embedding_nmi": of_features.nmi,
        f"{split}_embedding_ami": of_features.ami,
        **trained.metrics,
        "val_accuracy_all": accuracy_over_all(trained.val, obtained.rung, "val"),
        "best_epoch": float(trained.best_epoch),
        "classifier_parameters": float(trained.parameters),
        "val_signals": float(trained.val.signals),
        **durations,
    }
    if trained.test is not None:
        metrics["test_accuracy_all"] = accuracy_over_all(trained.test, obtained.rung, "test")
        metrics["test_signals"] = float(trained.test.signals)
    return replace(
        fit,
        metrics={**fit.metrics, **metrics},
        curves={**fit.curves, **trained.curves},
        artifacts=_write_artifacts(config, trained, obtained=obtained, learned=learned, setting=setting),
        confusion=[list(row) for row in scores.confusion],
    )


def accuracy_over_all(scores: Scores, rung: Rung, split: Split) -> float:
    """Return the accuracy over all signals of a split; a signal whose fields all diverged counts as wrong."""
    return scores.correct / len(torch.unique(rung.ids[rung.split == SPLITS[split]]))


def survivors(
    config: ClassificationConfig, dataset: NeuralDataset, rung: Rung, *, inits: Mapping[str, type[Any]] = INITS
) -> WeightData:
    """Return the rung's fields that did not diverge, as training data for a classifier.

    An init that is not in `inits`, such as one of a study script, is not known to be shared.

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
        shared=(init := config.dataset.init.name) in inits and inits[init].shared,
        has_test=bool((rung.split == SPLITS["test"]).any()),
    )


def _need(config: ClassificationConfig) -> Need:
    return Need(config.dataset, config.steps)


def _train(
    config: ClassificationConfig, data: WeightData, fit: TrialResult, *, setting: Setting
) -> tuple[TrainedClassifier, dict[str, float]]:
    """Return the trained classifier, and the seconds spent on training and scoring."""
    began, began_cpu = setting.clock(), setting.cpu_clock() if setting.cpu_clock else 0.0
    trained = train_classifier(
        config.classifier,
        data,
        seed=config.seed,
        classifiers=setting.catalogs.classifiers,
        on_epoch=_epoch_callback(setting, config.classifier.epochs, fit=fit),
    )
    durations = {"classify_seconds": setting.clock() - began}
    if setting.cpu_clock:
        durations["classify_cpu_seconds"] = setting.cpu_clock() - began_cpu
    return trained, durations


def _learned(trained: TrainedClassifier, data: WeightData) -> Learned:
    """Return the learned features and labels of the test fields, or of the validation fields without a test split."""
    rows = data.rows(trained.held_out[0])
    return embeddings_of(trained.network, data.parameters[rows]).numpy(), data.labels[rows].numpy()


def _write_artifacts(
    config: ClassificationConfig,
    trained: TrainedClassifier,
    *,
    obtained: ObtainedDataset,
    learned: Learned,
    setting: Setting,
) -> dict[str, str]:
    """Write a trial's artifacts on rank 0, and return their paths by name."""
    pictures = ("reconstruction.png",) if obtained.signals.kind.picture else ()
    split, scores = trained.held_out
    names = ("confusion.json", FILE_NAME, "embedding.safetensors", *pictures)
    paths = {name: trial_file(config.key, name) for name in names}
    if setting.world.rank == 0:
        contents = (
            confusion_json(scores, obtained.signals.card.class_names, split=split),
            classifier_bytes(trained, fields=setting.catalogs.fields),
            embedding_file(*learned, split=split),
            *(reconstruction_png(config.steps, obtained.signals, obtained.dataset) for _ in pictures),
        )
        storage = Storage.at(setting.root)
        for name, content in zip(names, contents, strict=True):
            storage.write(paths[name], content)
        storage.remove_half_written(trial_path(config.key))
    return paths


def _epoch_callback(setting: Setting, total: int, *, fit: TrialResult) -> Callable[[Epoch], None]:
    """Return an epoch callback that logs, reports progress and passes interim results to `setting.on_epoch`."""
    began = setting.clock()
    epochs: list[Epoch] = []

    def report(epoch: Epoch) -> None:
        epochs.append(epoch)
        scores = (epoch.number, total, epoch.train_loss, epoch.train_accuracy, epoch.val_loss, epoch.val_accuracy)
        log.info("epoch %d/%d: train loss %.4f accuracy %.4f, validation loss %.4f accuracy %.4f", *scores)
        if setting.on_progress is not None:
            setting.on_progress(TrialProgress("classifying", epoch.number, total, setting.clock() - began))
        if setting.on_epoch is not None:
            setting.on_epoch(epoch.number, total, lambda: replace(fit, curves=fit.curves | curves_of(epochs)))

    return report


def metrics(signals: SignalTraits) -> tuple[Metric, ...]:
    """Return the metrics that a classification trial reports.

    Accuracies are over the fields that did not diverge; those `over all` count diverged fields as wrong. Without test
    signals, no metric has the split `test`, and learned features are those of the validation fields.
    """
    accuracy = Metric(
        "val_accuracy",
        "Validation accuracy",
        direction="maximize",
        split="val",
        domain=(0.0, 1.0),
        chance=1 / signals.classes if signals.classes else None,
    )
    shown = signals.held_out
    every = (
        accuracy,
        replace(accuracy, name="val_accuracy_all", label="Validation accuracy over all"),
        replace(accuracy, name="test_accuracy", label="Test accuracy", split="test"),
        replace(accuracy, name="test_accuracy_all", label="Test accuracy over all", split="test"),
        replace(accuracy, name="train_accuracy", label="Training accuracy", split="train"),
        Metric("val_loss", "Validation loss", unit="nats", direction="minimize", split="val"),
        Metric("train_loss", "Training loss", unit="nats", direction="minimize", split="train"),
        Metric("all_nmi", "NMI of the weights", split="all", domain=(0.0, 1.0)),
        Metric("all_ami", "AMI of the weights", split="all"),
        Metric("clustered", "Fields in the clusters"),
        Metric(f"{shown}_embedding_nmi", "NMI of learned features", split=shown, domain=(0.0, 1.0)),
        Metric(f"{shown}_embedding_ami", "AMI of learned features", split=shown),
        Metric("best_epoch", "Best epoch"),
        Metric("val_signals", "Validation signals", split="val"),
        Metric("test_signals", "Test signals", split="test"),
        Metric("classifier_parameters", "Classifier parameters"),
        Metric("classify_seconds", "Training time", unit="s"),
        Metric("classify_cpu_seconds", "CPU time of training", unit="s"),
        *fit_metrics(signals),
    )
    return tuple(metric for metric in every if signals.test or metric.split != "test")


CLASSIFICATION = Task(
    name="classification",
    config=ClassificationConfig,
    codec=ClassificationCodec,
    needs=lambda config: (_need(config),),
    run=run_classification,
    metrics=metrics,
    objective=lambda _signals: Objective("val_accuracy"),
    curve="val_accuracy",
    sections=(*COMMON_SECTIONS, "scatter", "pareto", "classifiers", "classifier-curves"),
)
