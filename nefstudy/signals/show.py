"""Signals as people look at them: the catalogue, one set's card and baseline, a contact sheet, a check."""

import hashlib
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float
from rich.console import Group
from rich.table import Table

from nefstudy.config import SignalsConfig, parse
from nefstudy.errors import BadSignals
from nefstudy.scalars import Scalar
from nefstudy.signals.catalog import BUNDLED, SIGNALS, SignalSource, load_signals
from nefstudy.signals.picture import contact_sheet
from nefstudy.signals.signal import SPLITS, Signals
from nefstudy.storage import list_tree

Row = dict[str, Any]

SHOWN = 10
"""Signals of each class on a contact sheet."""

MOST_SIDE, VOXELS = 32, 12
"""Pixels and voxels a side that a baseline looks at; larger images are averaged down."""

STRENGTHS = (0.01, 0.1, 1.0)
"""Inverse regularisations that validation chooses among."""


def catalogue_rows(sources: Mapping[str, SignalSource] = SIGNALS) -> list[Row]:
    """One row of plain data for each source: its name, and the first line of what it says of itself."""
    return [
        {
            "name": name,
            "about": (source.__doc__ or "").strip().split("\n")[0],
            "needs": "" if name in BUNDLED else "path",
        }
        for name, source in sources.items()
    ]


def catalogue_table(rows: list[Row]) -> Table:
    """The rows for a terminal."""
    table = Table(box=None)
    for name in ("name", "needs", "about"):
        table.add_column(name)
    for row in rows:
        table.add_row(row["name"], f"--option {row['needs']}=..." if row["needs"] else "", row["about"])
    return table


def summary(config: SignalsConfig, *, baseline: bool = True, sources: Mapping[str, SignalSource] = SIGNALS) -> Row:
    """Everything a card says of a set of signals, its classes by split, and a baseline's test accuracy.

    Raises:
        BadConfig, BadSignals: as `load_signals`.
    """
    signals = load_signals(config, sources=sources)
    card = signals.card
    counts, sizes = _counts(signals)
    return {
        "name": card.name,
        "kind": card.kind,
        "signals": len(signals),
        "grid": list(card.grid),
        "channels": card.channels,
        "points": signals.size,
        "quality": signals.kind.quality[0].name,
        "classes": [
            {"class": name, **{part: counts[part][index] for part in counts}}
            for index, name in enumerate(card.class_names)
        ],
        "split": sizes,
        "license": card.license,
        "source": card.source,
        "content": card.content_hash,
        "test_signals_in_train": tested_in_training(signals),
        "baseline_test_accuracy": baseline_accuracy(signals)
        if baseline and counts and signals.split is not None
        else None,
    }


def summary_card(found: Row) -> Group:
    """The summary for a terminal."""
    head = Table.grid(padding=(0, 2))
    for name in ("name", "kind", "signals", "grid", "channels", "points", "quality", "license", "source", "content"):
        value = found[name]
        head.add_row(name, " x ".join(map(str, value)) if isinstance(value, list) else str(value))
    if found["baseline_test_accuracy"] is not None:
        head.add_row("baseline", f"{found['baseline_test_accuracy']:.3f} test accuracy, logistic regression")
    if found["test_signals_in_train"]:
        head.add_row("warning", f"{found['test_signals_in_train']} test signals equal a training signal")
    classes = Table(box=None)
    names = ("class", *found["split"])
    for name in names if found["classes"] else ():
        classes.add_column(name, justify="left" if name == "class" else "right")
    for row in found["classes"]:
        classes.add_row(*(str(row[name]) for name in names))
    return Group(head, "", classes)


def _counts(signals: Signals) -> tuple[dict[str, list[int]], dict[str, int]]:
    """Return signals of each class, and of all, by split; under `all` where the set is not split."""
    parts = {"all": np.ones(len(signals), dtype=bool)}
    if signals.split is not None:
        parts = {part: signals.split == code for part, code in SPLITS.items()}
    labels, classes = signals.labels, len(signals.card.class_names)
    each = {} if labels is None else {p: np.bincount(labels[m], minlength=classes).tolist() for p, m in parts.items()}
    return each, {part: int(mask.sum()) for part, mask in parts.items()}


def tested_in_training(signals: Signals) -> int:
    """Return how many test signals equal a training signal, value for value: they measure memory, not learning."""
    if signals.split is None:
        return 0
    seen = signals.values if signals.samples is None else signals.samples.fitted
    hashes = np.array([hashlib.blake2b(np.ascontiguousarray(row).data, digest_size=12).hexdigest() for row in seen])
    trained = hashes[signals.split == SPLITS["train"]]
    return int(np.isin(hashes[signals.split == SPLITS["test"]], trained).sum())


def features(signals: Signals) -> Float[np.ndarray, "S K"]:
    """Return what a baseline sees of each signal: its values, averaged down where many, or its inside voxels."""
    if signals.samples is not None:
        inside = signals.samples.fitted[:, : signals.size // signals.kind.strata].astype(np.float32)
        cell = np.clip((inside + 1) / 2 * VOXELS, 0, VOXELS - 1).astype(np.int64)
        voxels = np.zeros((len(signals), VOXELS, VOXELS, VOXELS), dtype=np.float32)
        voxels[(np.arange(len(signals))[:, None], *np.moveaxis(cell, -1, 0))] = 1
        return voxels.reshape(len(signals), -1)
    images = signals.originals().reshape(len(signals), *signals.card.grid, -1)
    for axis in range(1, 1 + signals.in_dim):
        while images.shape[axis] > MOST_SIDE:
            whole = images.take(range(images.shape[axis] // 2 * 2), axis=axis)
            images = whole.reshape(*whole.shape[:axis], -1, 2, *whole.shape[axis + 1 :]).mean(axis=axis + 1)
    return images.reshape(len(signals), -1)


def baseline_accuracy(signals: Signals) -> float:
    """Test accuracy of logistic regression on the signals themselves; validation chooses its regularisation."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    labels, split = signals.labels_and_split("a baseline")
    seen = features(signals)
    parts = {part: split == code for part, code in SPLITS.items()}
    seen = (seen - seen[parts["train"]].mean(axis=0)) / max(float(seen[parts["train"]].std()), 1e-6)
    scores = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a baseline need not be the optimum
        for strength in STRENGTHS:
            model = LogisticRegression(C=strength / seen.shape[1], max_iter=100)
            model.fit(seen[parts["train"]], labels[parts["train"]])
            scores.append(tuple(float(model.score(seen[parts[p]], labels[parts[p]])) for p in ("val", "test")))
    return max(scores, key=lambda score: score[0])[1]


def class_sheet(signals: Signals) -> bytes:
    """Return PNG bytes of a contact sheet: a row of signals for each class that has some; one without classes."""
    labels = np.zeros(len(signals), dtype=np.int64) if signals.labels is None else signals.labels
    rows = [np.flatnonzero(labels == label)[:SHOWN] for label in np.unique(labels)]
    width = min(map(len, rows))
    return contact_sheet([signals.pictures(row[:width]) for row in rows])


def check_location(location: str, *, options: Mapping[str, Scalar], source: str | None = None) -> Row:
    """Reads and checks the data at a path or URI by the reader that fits it; says what was found.

    Raises:
        BadSignals: what is wrong with it, named with its fix.
        BadConfig: an unknown reader or option.
    """
    name = source or reader_of(location)
    config = parse(SignalsConfig, {"name": name, "options": {"path": location, **options}}, where="signals")
    return {"checked": location, "reader": name, **summary(config, baseline=False)}


def reader_of(location: str) -> str:
    """The catalogue name of the reader that fits what lies at a path or URI.

    Raises:
        BadSignals: nothing is there, or nothing that a reader takes.
    """
    if location.lower().endswith(".parquet"):
        return "parquet"
    if location.lower().endswith(".npz"):
        return "arrays"
    files, _ = list_tree(location)
    for suffix, name in READERS.items():
        if any(file.name.lower().endswith(suffix) for file in files):
            return name
    raise BadSignals(f"{location} holds none of {', '.join(READERS)}; give a folder or file of signals")


READERS: Mapping[str, str] = {
    ".parquet": "parquet",
    "-ubyte": "mnist",
    "-ubyte.gz": "mnist",
    "_batch.bin": "cifar10",
    ".npz": "occupancy",
    ".png": "folder",
    ".jpg": "folder",
    ".jpeg": "folder",
}
"""File endings, and who reads them."""
