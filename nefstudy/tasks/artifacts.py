"""Files that a trial writes in addition to its metrics: a picture, a confusion matrix, learned features."""

from collections.abc import Sequence
from math import isnan

import numpy as np
from jaxtyping import Float, Int
from safetensors.numpy import save

from nefstudy.classifiers.scores import Scores
from nefstudy.neural_dataset.read import NeuralDataset
from nefstudy.scalars import canonical_json
from nefstudy.signals.picture import contact_sheet
from nefstudy.signals.signal import SPLITS, Signals, Split

PICTURED = 8  # signals in a trial's picture
EMBEDDED = 500  # fields whose learned features are saved: enough for a plot, 130 kB at 64 features


def reconstruction_png(steps: int, signals: Signals, dataset: NeuralDataset) -> bytes:
    """Return a PNG that shows original signals above their reconstructions.

    It shows the first test signals, the first validation signals of a set without test signals, or the first signals of
    a set without splits.

    Raises:
        BadSignals: signals of this kind have no pictures.
    """
    shown = SPLITS["test" if signals.has_test else "val"]
    is_shown = np.ones(len(signals), dtype=bool) if signals.split is None else signals.split == shown
    rows, coords, kind = np.flatnonzero(is_shown)[:PICTURED], signals.grid_coords(), signals.kind
    originals = signals.pictures(rows)
    reconstructions = [kind.draw(dataset.reconstruct(int(i), steps=steps), coords) for i in signals.ids[rows]]
    return contact_sheet([originals, np.stack(reconstructions)])


def confusion_json(scores: Scores, classes: Sequence[str], *, split: Split) -> bytes:
    """Return a split's confusion matrix, with each class's accuracy (null for a class without signals)."""
    accuracy = [None if isnan(value) else value for value in scores.per_class]
    content = {"split": split, "classes": list(classes), "accuracy": accuracy, "confusion": scores.confusion}
    return canonical_json(content).encode()


def embedding_file(features: Float[np.ndarray, "N E"], labels: Int[np.ndarray, " N"], *, split: Split) -> bytes:
    """Return the learned features and labels of the first fields of a split in safetensors format."""
    tensors = {"features": features[:EMBEDDED].astype(np.float32), "labels": labels[:EMBEDDED].astype(np.int64)}
    arrays = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    content: bytes = save(arrays, metadata={"split": split})
    return content
