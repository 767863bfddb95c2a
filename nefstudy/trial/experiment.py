"""One trial as a function of its configuration; knows nothing of Ray, MLflow or HTTP."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from nefstudy.classifiers.catalog import CLASSIFIERS
from nefstudy.classifiers.save import classifier_bytes
from nefstudy.classifiers.scores import embeddings_of
from nefstudy.classifiers.train import Epoch, TrainedClassifier, train_classifier
from nefstudy.classifiers.weights import WeightData
from nefstudy.config import FitConfig, TrialConfig
from nefstudy.errors import BadNeuralDataset, FitDiverged
from nefstudy.evaluation.structure import nmi
from nefstudy.fields.catalog import FIELDS, build
from nefstudy.neural_dataset.mend import remove_damage
from nefstudy.neural_dataset.read import NeuralDataset, find_neural_dataset
from nefstudy.neural_dataset.rung import Rung
from nefstudy.neural_dataset.write import finish_neural_dataset, write_neural_dataset
from nefstudy.paths import trial_file, trial_path
from nefstudy.signals.catalog import SIGNALS, load_signals
from nefstudy.signals.signal import SPLITS, Signals
from nefstudy.storage import Storage
from nefstudy.trial.artifacts import confusion_json, embedding_file, reconstruction_png
from nefstudy.trial.process_state import kept
from nefstudy.trial.progress import Progress, Working, fitting
from nefstudy.trial.result import TrialResult
from nefstudy.trial.world import World

log = logging.getLogger(__name__)

MIN_SURVIVORS = 0.5  # a trial with fewer undiverged fields is a diverged trial

Learned = tuple[np.ndarray, np.ndarray]
"""Features [N, E] and labels [N]."""

OnEpoch = Callable[[Epoch, TrialResult], None]


@dataclass(frozen=True)
class Choices:
    """The fields, classifiers and signal sources a trial may name."""

    fields: Mapping[str, Any] = field(default_factory=lambda: FIELDS)
    classifiers: Mapping[str, Any] = field(default_factory=lambda: CLASSIFIERS)
    signals: Mapping[str, Any] = field(default_factory=lambda: SIGNALS)


@dataclass(frozen=True)
class Setting:
    """Where and how a trial runs; changes nothing about what it finds.

    Attributes:
        root: directory or URI that neural datasets and pictures live under.
        rungs: the ladder to fit if the neural dataset has to be fitted; holds the trial's own step count.
        halvings: how often the fit's chunk is halved, after attempts that ran out of memory.
        fits: of the same shape in the study, which share what compiling it costs; None for a trial on its own.
        clock: seconds from any origin, for durations.
        on_epoch: told each epoch, with what the trial had found before it trained; raises SystemExit to end the trial.
        cpu_clock: likewise, of this process's own work; where there is one, training is timed by it too.
    """

    root: str
    rungs: tuple[int, ...]
    clock: Callable[[], float]
    world: World = field(default_factory=World)
    choices: Choices = field(default_factory=Choices)
    engine: str = "auto"
    halvings: int = 0
    fits: int | None = None
    on_progress: Progress | None = None
    cpu_clock: Callable[[], float] | None = None
    on_epoch: OnEpoch | None = None


class Work(Protocol):
    """What a trial does; `run_trial` unless a plan says otherwise."""

    def __call__(self, config: TrialConfig, *, setting: Setting) -> TrialResult:
        """What came out."""


def run_trial(config: TrialConfig, *, setting: Setting) -> TrialResult:
    """Fit or find the neural dataset, measure it, train the classifier, and say what came out.

    Every rank of `setting.world` calls this with the same configuration; all return the same result.

    Raises:
        FitDiverged: fewer than half of the fields survived the fit.
        BadSignals, BadNeuralDataset: the data cannot be read.
    """
    with kept(seed=config.seed):
        signals = load_signals(config.dataset.signals, sources=setting.choices.signals)
        try:
            return _find_out(config, signals, setting=setting)
        except BadNeuralDataset as damage:
            _mend(config, damage, setting=setting)
            return _find_out(config, signals, setting=setting)


def _find_out(config: TrialConfig, signals: Signals, *, setting: Setting) -> TrialResult:
    """What came out of a trial on signals that are loaded."""
    signals.labels_and_split("a classifier")  # refused before hours of fitting
    began = setting.clock()
    dataset, fitted = obtain_dataset(config, signals, setting=setting)
    rung = dataset.rung(config.steps)
    fit_seconds = setting.clock() - began
    log.info("%s neural dataset %s in %.1f s", "fitted" if fitted else "found", dataset.digest, fit_seconds)
    data = survivors(config, dataset, rung)
    read = _read(config, dataset, rung, fitted=fitted, fit_seconds=fit_seconds, setting=setting)
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
        artifacts=_keep(config, trained, signals=signals, dataset=dataset, learned=learned, setting=setting),
        confusion=[list(row) for row in trained.test.confusion],
    )


def _read(
    config: TrialConfig, dataset: NeuralDataset, rung: Rung, *, fitted: bool, fit_seconds: float, setting: Setting
) -> TrialResult:
    """What a trial has found before it trains: the fields' quality, and what their neural dataset is."""
    return TrialResult(
        metrics={
            **_quality(dataset.quality(config.steps), rung.split.numpy()),
            "diverged": float(rung.diverged.sum()),
            "signals": float(len(rung.ids) // config.dataset.views),
            "fit_seconds": fit_seconds,
            "field_steps": float(len(rung.ids) * max(setting.rungs)) if fitted else 0.0,
        },
        curves=_ladder_curves(dataset, rung.split.numpy()),
        artifacts={},
        fingerprint=dict(dataset.manifest.fingerprint),
        dataset=config.dataset.digest,
        fitted=fitted,
        rungs=dataset.rungs,
        dataset_bytes=sum(shard.bytes for record in dataset.manifest.rungs for shard in record.shards),
        rung_sha256=dataset.manifest.rung(config.steps).sha256,
    )


def obtain_dataset(config: TrialConfig, signals: Signals, *, setting: Setting) -> tuple[NeuralDataset, bool]:
    """The trial's neural dataset, and whether it had to be fitted here."""
    known = find_neural_dataset(setting.root, config.dataset.digest, fields=setting.choices.fields)
    if known is not None and config.steps in known.rungs:
        return known, False
    field_ = build(config.dataset.field, in_dim=signals.in_dim, out_dim=signals.out_dim, fields=setting.choices.fields)
    fit = FitConfig(
        dataset=config.dataset, rungs=setting.rungs, engine=setting.engine, halvings=setting.halvings, fits=setting.fits
    )
    world = setting.world
    world.barrier()  # every rank has looked before any writes
    write_neural_dataset(
        fit,
        signals,
        setting.root,
        field=field_,
        rank=world.rank,
        world=world.size,
        on_progress=fitting(setting.on_progress, steps=max(setting.rungs), clock=setting.clock),
    )
    world.barrier()
    if world.rank == 0:
        finish_neural_dataset(fit, signals, setting.root, field=field_)
    world.barrier()
    dataset = find_neural_dataset(setting.root, config.dataset.digest, fields=setting.choices.fields)
    assert dataset is not None  # finish_neural_dataset wrote it or raised
    return dataset, True


def _mend(config: TrialConfig, damage: BadNeuralDataset, *, setting: Setting) -> None:
    """Take away what does not verify of the trial's neural dataset: rank 0 does, the others wait."""
    setting.world.barrier()
    if setting.world.rank == 0:
        removed = remove_damage(setting.root, config.dataset.digest)
        log.warning("%s; fitted anew: %s", damage, ", ".join(removed) or "the manifest")
    setting.world.barrier()


def survivors(config: TrialConfig, dataset: NeuralDataset, rung: Rung) -> WeightData:
    """Return the rung's undiverged fields as a classifier takes them.

    Raises:
        FitDiverged: fewer than half survived, or one split lost all of its fields.
    """
    keep = ~rung.diverged
    lost = [name for name, code in SPLITS.items() if not bool((keep & (rung.split == code)).any())]
    if float(keep.float().mean()) < MIN_SURVIVORS or lost:
        raise FitDiverged(
            f"{int((~keep).sum())} of {len(keep)} fields diverged within {config.steps} steps at lr "
            f"{config.dataset.optimizer.lr:g}{' (none left in ' + ', '.join(lost) + ')' if lost else ''}; "
            f"at least {MIN_SURVIVORS:.0%} must survive, lower the learning rate"
        )
    return WeightData(
        field=dataset.field,
        parameters=rung.parameters[keep],
        labels=rung.labels[keep],
        split=rung.split[keep],
        classes=len(dataset.manifest.card.class_names),
        signals=rung.ids[keep] if config.dataset.views > 1 else None,
    )


def _quality(columns: Mapping[str, Any], split: np.ndarray) -> dict[str, float]:
    """Return the mean of each quality column over the undiverged fields: of all, and of those that pick and report."""
    alive = columns["diverged_at"] < 0
    masks = {"all": alive, "val": alive & (split == SPLITS["val"]), "test": alive & (split == SPLITS["test"])}
    return {
        f"{where}_{name}": float(np.mean(values[mask]))
        for name, values in columns.items()
        if name != "diverged_at"
        for where, mask in masks.items()
        if mask.any()
    }


def _ladder_curves(dataset: NeuralDataset, split: np.ndarray) -> dict[str, list[tuple[int, float]]]:
    """Quality over all signals at every rung of the ladder, by step count."""
    rungs = {steps: _quality(dataset.quality(steps), split) for steps in dataset.rungs}
    names = sorted({name for values in rungs.values() for name in values if name.startswith("all_")})
    return {name: [(steps, values[name]) for steps, values in rungs.items() if name in values] for name in names}


def _train(
    config: TrialConfig, data: WeightData, read: TrialResult, *, setting: Setting
) -> tuple[TrainedClassifier, dict[str, float]]:
    """The trained classifier, and the seconds that training and scoring took."""
    began, began_cpu = setting.clock(), setting.cpu_clock() if setting.cpu_clock else 0.0
    trained = train_classifier(
        config.classifier,
        data,
        seed=config.seed,
        classifiers=setting.choices.classifiers,
        on_epoch=_epochs(setting, config.classifier.epochs, read=read),
    )
    durations = {"classify_seconds": setting.clock() - began}
    if setting.cpu_clock:
        durations["classify_cpu_seconds"] = setting.cpu_clock() - began_cpu
    return trained, durations


def _learned(trained: TrainedClassifier, data: WeightData) -> Learned:
    """Learned features of the test split's fields, and their labels."""
    rows = data.rows("test")
    return embeddings_of(trained.reader, data.parameters[rows]).numpy(), data.labels[rows].numpy()


def _keep(
    config: TrialConfig,
    trained: TrainedClassifier,
    *,
    signals: Signals,
    dataset: NeuralDataset,
    learned: Learned,
    setting: Setting,
) -> dict[str, str]:
    """Name -> path of what a trial leaves on disk; rank 0 makes and writes it."""
    pictured = ("reconstruction.png",) if signals.kind.picture else ()
    names = ("confusion.json", "classifier.safetensors", "embedding.safetensors", *pictured)
    places = {name: trial_file(config.key, name) for name in names}
    if setting.world.rank == 0:
        contents = (
            confusion_json(trained.test, signals.card.class_names),
            classifier_bytes(trained, fields=setting.choices.fields),
            embedding_file(*learned),
            *(reconstruction_png(config, signals, dataset) for _ in pictured),
        )
        storage = Storage.at(setting.root)
        for name, content in zip(names, contents, strict=True):
            storage.write(places[name], content)
        storage.sweep(trial_path(config.key))
    return places


def _epochs(setting: Setting, total: int, *, read: TrialResult) -> Callable[[Epoch], None]:
    began = setting.clock()

    def tell(epoch: Epoch) -> None:
        scores = (epoch.number, total, epoch.train_loss, epoch.train_accuracy, epoch.val_loss, epoch.val_accuracy)
        log.info("epoch %d/%d: train loss %.4f accuracy %.4f, validation loss %.4f accuracy %.4f", *scores)
        if setting.on_progress is not None:
            setting.on_progress(Working("classifying", epoch.number, total, setting.clock() - began))
        if setting.on_epoch is not None:
            setting.on_epoch(epoch, read)

    return tell
