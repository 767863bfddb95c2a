"""Files that a trial leaves beside its numbers: a picture, a confusion matrix, learned features."""

from collections.abc import Sequence
from math import isnan

import numpy as np
from jaxtyping import Float, Int
from safetensors.numpy import save

from nefstudy.classifiers.scores import Scores
from nefstudy.neural_dataset.read import NeuralDataset
from nefstudy.scalars import canonical_json
from nefstudy.signals.picture import contact_sheet
from nefstudy.signals.signal import SPLITS, Signals

PICTURED = 8  # signals shown in a trial's picture
EMBEDDED = 500  # test fields whose learned features are kept: enough to draw, 130 kB at 64 features


def reconstruction_png(steps: int, signals: Signals, dataset: NeuralDataset) -> bytes:
    """Return originals above reconstructions for a few test signals, or for the first of a set without a split.

    Raises:
        BadSignals: signals of this kind have no pictures.
    """
    tested = np.ones(len(signals), dtype=bool) if signals.split is None else signals.split == SPLITS["test"]
    rows, points, draw = np.flatnonzero(tested)[:PICTURED], signals.coordinates(), signals.kind.picture
    originals = signals.pictures(rows)
    assert draw is not None  # `pictures` raised otherwise
    fitted = [draw(dataset.reconstruct(int(i), steps=steps), points) for i in signals.ids[rows]]
    return contact_sheet([originals, np.stack(fitted)])


def confusion_json(test: Scores, classes: Sequence[str]) -> bytes:
    """Who was taken for whom on the test split, and each class's accuracy (null for a class it does not have)."""
    accuracy = [None if isnan(value) else value for value in test.per_class]
    found = {"split": "test", "classes": list(classes), "accuracy": accuracy, "confusion": test.confusion}
    return canonical_json(found).encode()


def embedding_file(features: Float[np.ndarray, "N E"], labels: Int[np.ndarray, " N"]) -> bytes:
    """Learned features of the first test fields and their labels, as safetensors."""
    kept = {"features": features[:EMBEDDED].astype(np.float32), "labels": labels[:EMBEDDED].astype(np.int64)}
    content: bytes = save(
        {name: np.ascontiguousarray(value) for name, value in kept.items()}, metadata={"split": "test"}
    )
    return content
