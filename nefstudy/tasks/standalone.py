"""Classifiers outside a study: training on given neural datasets, and predictions by a trial's saved classifier."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from scipy.stats import binomtest
from torch import Tensor

from nefstudy.classifiers.catalog import complete
from nefstudy.classifiers.save import FILE_NAME, SavedClassifier, load_classifier
from nefstudy.classifiers.scores import average_views, score
from nefstudy.classifiers.train import train_classifier
from nefstudy.classifiers.weights import concatenate
from nefstudy.config import ClassifierConfig, parse
from nefstudy.errors import BadConfig
from nefstudy.neural_dataset.read import NeuralDataset, open_neural_dataset
from nefstudy.neural_dataset.rung import Rung
from nefstudy.paths import trial_file
from nefstudy.signals.signal import SPLITS, Split
from nefstudy.storage import Storage
from nefstudy.tasks.classification import ClassificationConfig, survivors
from nefstudy.tasks.setting import Catalogs


@dataclass(frozen=True, eq=False)
class Predictions:
    """The predicted classes of the signals in one split.

    Attributes:
        signals: id of each signal.
        labels, predicted: class index of each signal.
        probabilities: probability of each class, averaged over the views of a signal.
        interval: 95 % Wilson interval of the accuracy.
    """

    key: str
    dataset: str
    steps: int
    split: Split
    class_names: tuple[str, ...]
    signals: Int[Tensor, " S"]
    labels: Int[Tensor, " S"]
    predicted: Int[Tensor, " S"]
    probabilities: Float[Tensor, "S classes"]
    accuracy: float
    interval: tuple[float, float]

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per signal: id, label, predicted class and the probability of that class."""
        return [
            {
                "signal": int(signal),
                "label": self.class_names[label],
                "predicted": self.class_names[index],
                "probability": round(float(probabilities[index]), 6),
            }
            for signal, label, index, probabilities in zip(
                self.signals.tolist(), self.labels.tolist(), self.predicted.tolist(), self.probabilities, strict=True
            )
        ]


def classify_datasets(
    root: str, digests: Sequence[str], *, steps: int | None, classifier: ClassifierConfig, seed: int = 0
) -> dict[str, Any]:
    """Train one classifier on a rung of each neural dataset, and return its accuracies by split and dataset.

    Accuracies over all datasets count a signal once per dataset. Fields of one signal are not independent, so that the
    n of their interval is the number of different test signals. Neural datasets without test signals are scored on
    their validation signals, which also selected the epoch.

    Args:
        steps: the rung; the longest of each by default.

    Raises:
        BadConfig: the signals or splits of the datasets differ, only some have test signals, or the classifier cannot
            read several architectures.
        BadNeuralDataset: there is no such neural dataset or rung.
        FitDiverged: too few fields survived the fit.
    """
    datasets = [open_neural_dataset(root, digest) for digest in dict.fromkeys(digests)]
    rungs = [dataset.rung(dataset.rungs[-1] if steps is None else steps) for dataset in datasets]
    check_splits(datasets, rungs)
    config, parts = complete(classifier), []
    for dataset, rung in zip(datasets, rungs, strict=True):
        trial = ClassificationConfig(dataset=dataset.recipe, steps=rung.steps, classifier=config, seed=seed)
        parts.append(survivors(trial, dataset, rung))
        parts[-1].check()
    data = concatenate(parts)
    trained = train_classifier(config, data, seed=seed)
    of_parts = torch.split(torch.arange(len(data)), [len(part) for part in parts])
    split, scores = trained.held_out
    of_datasets = [score(trained.network, data.select(rows), split) for rows in of_parts]
    different = {int(i) for rung in rungs for i in rung.ids[~rung.diverged & (rung.split == SPLITS[split])]}
    return {
        "classifier": classifier.name,
        "split": split,
        **trained.metrics,
        **_count(split, scores.accuracy, len(different)),
        "datasets": [
            {
                "dataset": dataset.digest,
                "field": str(dataset.field),
                "steps": rung.steps,
                f"{split}_accuracy": own.accuracy,
            }
            | _count(split, own.accuracy, own.signals)
            for dataset, rung, own in zip(datasets, rungs, of_datasets, strict=True)
        ],
    }


def check_splits(datasets: Sequence[NeuralDataset], rungs: Sequence[Rung]) -> None:
    """Check that no signal is in different splits in two neural datasets, and that all or none have test signals.

    Raises:
        BadConfig: the datasets were fitted to different signals, a signal is in different splits, or only some of the
            datasets have test signals.
    """
    contents = {dataset.digest: dataset.manifest.card.content_hash for dataset in datasets}
    if len(set(contents.values())) > 1:
        shown = ", ".join(f"{content[:12]} in {digest}" for digest, content in contents.items())
        raise BadConfig(
            f"content hashes of the signals and their split differ ({shown}), so that a signal could be both in the "
            "training and in the test split; pass neural datasets of one set of signals"
        )
    splits: dict[int, int] = {}
    for dataset, rung in zip(datasets, rungs, strict=True):
        for signal, split in zip(rung.ids.tolist(), rung.split.tolist(), strict=True):
            if splits.setdefault(signal, split) != split:
                raise BadConfig(
                    f"signal {signal} is in another split of {dataset.digest} than of the neural datasets before it; "
                    "pass neural datasets with the same split"
                )
    tested = [bool((rung.split == SPLITS["test"]).any()) for rung in rungs]
    if len(set(tested)) > 1:
        without = ", ".join(dataset.digest for dataset, has_test in zip(datasets, tested, strict=True) if not has_test)
        raise BadConfig(f"{without} have no test signals, the others do; pass neural datasets with the same split")


def _count(split: Split, accuracy: float, n: int) -> dict[str, Any]:
    return {f"{split}_n": n, f"{split}_interval": list(_wilson(accuracy, n))}


def _wilson(accuracy: float, n: int) -> tuple[float, float]:
    """Return the 95 % Wilson interval of an accuracy over n signals."""
    interval = binomtest(round(accuracy * n), n).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def predict(
    root: str,
    key: str,
    *,
    config: Mapping[str, Any],
    dataset: str | None = None,
    steps: int | None = None,
    split: Split = "test",
    catalogs: Catalogs | None = None,
) -> Predictions:
    """Apply a trial's saved classifier to a neural dataset.

    Args:
        config: the trial's configuration, as the ledger stores it.
        dataset: digest of another neural dataset of the same field; that of the trial by default.
        steps: the rung; that of the trial by default.

    Raises:
        BadConfig: the trial saved no classifier, it does not fit the neural dataset's field or classes, or the split
            has no signals.
        BadNeuralDataset: there is no such neural dataset or rung.
    """
    catalogs = catalogs or Catalogs()
    if split not in SPLITS:
        raise BadConfig(f"split {split!r}: must be one of {', '.join(SPLITS)}; correct --split")
    trial = parse(ClassificationConfig, config, where=key)
    classifier = _saved_classifier(root, key, catalogs)
    opened = open_neural_dataset(root, dataset or trial.dataset.digest, fields=catalogs.fields)
    rung = opened.rung(trial.steps if steps is None else steps)
    data = survivors(trial.model_copy(update={"dataset": opened.recipe, "steps": rung.steps}), opened, rung)
    if data.classes != classifier.classes:
        raise BadConfig(
            f"neural dataset {opened.digest} has {data.classes} classes, the classifier of trial {key} has "
            f"{classifier.classes}; pass a neural dataset with the same classes"
        )
    rows = data.rows(split)
    if not len(rows):
        raise BadConfig(f"neural dataset {opened.digest} has no {split} signals; pass --split val or --split train")
    signals, group = torch.unique(rung.ids[~rung.diverged][rows], return_inverse=True)
    labels = torch.zeros_like(signals).index_copy_(0, group, data.labels[rows])
    log_probabilities = average_views(classifier.logits(data.select(rows)), group)
    predicted = log_probabilities.argmax(dim=1)
    correct = int((predicted == labels).sum())
    return Predictions(
        key=key,
        dataset=opened.digest,
        steps=rung.steps,
        split=split,
        class_names=tuple(opened.manifest.card.class_names),
        signals=signals,
        labels=labels,
        predicted=predicted,
        probabilities=log_probabilities.exp(),
        accuracy=correct / len(signals),
        interval=_wilson(correct / len(signals), len(signals)),
    )


def _saved_classifier(root: str, key: str, catalogs: Catalogs) -> SavedClassifier:
    storage, path = Storage.at(root), trial_file(key, FILE_NAME)
    try:
        content = storage.read(path)
    except FileNotFoundError:
        raise BadConfig(
            f"trial {key}: no classifier at {storage.locate(path)}; pass the key of a COMPLETE classification trial "
            "that ran under this root"
        ) from None
    with tempfile.TemporaryDirectory(prefix="nef-classifier-") as folder:
        file = Path(folder, FILE_NAME)
        file.write_bytes(content)
        return load_classifier(file, classifiers=catalogs.classifiers, fields=catalogs.fields)
