"""Views of signals for users: the catalog, a set's summary and baseline, a contact sheet, validation of a path."""

import hashlib
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from rich.console import Group
from rich.table import Table

from nefstudy.config import SignalsConfig, parse
from nefstudy.errors import BadSignals
from nefstudy.scalars import Scalar
from nefstudy.signals.catalog import BUNDLED, INSTALLABLE, SIGNALS, SignalSource, load_signals
from nefstudy.signals.picture import contact_sheet
from nefstudy.signals.signal import SPLITS, Signals
from nefstudy.storage import list_tree

Row = dict[str, Any]

SHEET_COLUMNS = 10
"""Number of signals of each class on a contact sheet."""

MAX_SIDE, VOXELS = 32, 12
"""Largest image side in pixels, and grid side in voxels, of a baseline's features; larger images are downsampled."""

STRENGTHS = (0.01, 0.1, 1.0)
"""Candidate inverse regularization strengths, one of which is selected on the validation split."""


def catalog_rows(sources: Mapping[str, SignalSource] = SIGNALS) -> list[Row]:
    """Return a row for each source: its name, its docstring's first line, and the option that it requires, if any."""
    return [
        {
            "name": name,
            "about": (source.__doc__ or "").strip().split("\n")[0],
            "needs": "" if name in BUNDLED or is_installed(name) else "path",
        }
        for name, source in sources.items()
    ]


def is_installed(name: str) -> bool:
    """Return whether a source's data is in the folder where `make data` installs it."""
    return name in INSTALLABLE and Path(INSTALLABLE[name]).is_dir()


def catalog_table(rows: list[Row]) -> Table:
    """Format the catalog as a table for a terminal."""
    table = Table(box=None)
    for name in ("name", "needs", "about"):
        table.add_column(name)
    for row in rows:
        table.add_row(row["name"], f"--option {row['needs']}=..." if row["needs"] else "", row["about"])
    return table


def summary(config: SignalsConfig, *, baseline: bool = True, sources: Mapping[str, SignalSource] = SIGNALS) -> Row:
    """Summarize a set of signals: its description, its size per class and split, and a baseline's test accuracy.

    Without test signals, there is neither a count of them nor a baseline.

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
        "points": _points(signals),
        "quality": signals.kind.quality[0].name,
        "classes": [
            {"class": name, **{part: counts[part][index] for part in counts}}
            for index, name in enumerate(card.class_names)
        ],
        "split": sizes,
        "license": card.license,
        "source": card.source,
        "content": card.content_hash,
        "test_signals_in_train": count_leaked(signals),
        "baseline_test_accuracy": baseline_accuracy(signals) if baseline and counts and signals.has_test else None,
    }


def summary_card(row: Row) -> Group:
    """Format a summary for a terminal."""
    head = Table.grid(padding=(0, 2))
    for name in ("name", "kind", "signals", "grid", "channels", "points", "quality", "license", "source", "content"):
        value = row[name]
        head.add_row(name, " x ".join(map(str, value)) if isinstance(value, list) else str(value))
    if row["baseline_test_accuracy"] is not None:
        head.add_row("baseline", f"{row['baseline_test_accuracy']:.3f} test accuracy, logistic regression")
    if row["test_signals_in_train"]:
        head.add_row("warning", leak_warning(row["test_signals_in_train"]))
    classes = Table(box=None)
    names = ("class", *row["split"])
    for name in names if row["classes"] else ():
        classes.add_column(name, justify="left" if name == "class" else "right")
    for counts in row["classes"]:
        classes.add_row(*(str(counts[name]) for name in names))
    return Group(head, "", classes)


def _points(signals: Signals) -> int:
    """Return the number of points that the fit of a signal may use; the smallest of shapes that have different ones."""
    pools = None if signals.samples is None else signals.samples.pools
    return signals.size if pools is None else min(pool.size for pool in pools)


def _counts(signals: Signals) -> tuple[dict[str, list[int]], dict[str, int]]:
    """Count the signals of each split, per class and in total.

    A set without a split counts as one split named `all`.
    """
    parts = {"all": np.ones(len(signals), dtype=bool)}
    if signals.split is not None:
        names = [part for part in SPLITS if part != "test" or signals.has_test]
        parts = {part: signals.split == SPLITS[part] for part in names}
    labels, classes = signals.labels, len(signals.card.class_names)
    each = {} if labels is None else {p: np.bincount(labels[m], minlength=classes).tolist() for p, m in parts.items()}
    return each, {part: int(mask.sum()) for part, mask in parts.items()}


def count_leaked(signals: Signals) -> int:
    """Count the test signals that are identical to a training signal, and that therefore only test memorization."""
    if not signals.has_test or signals.split is None:
        return 0
    seen = signals.values if signals.samples is None else signals.samples.fitted
    hashes = np.array([hashlib.blake2b(np.ascontiguousarray(row).data, digest_size=12).hexdigest() for row in seen])
    trained = hashes[signals.split == SPLITS["train"]]
    return int(np.isin(hashes[signals.split == SPLITS["test"]], trained).sum())


def leak_warning(count: int) -> str:
    """Return a warning that `count` test signals are identical to a training signal."""
    return f"{count} test signals are identical to a training signal; remove them"


def features(signals: Signals) -> Float[np.ndarray, "S K"]:
    """Return the baseline's input for each signal: downsampled values, or which voxels contain points of the shape."""
    if signals.samples is not None:
        inside = signals.samples.fitted[:, : signals.size // signals.kind.strata].astype(np.float32)
        cell = np.clip((inside + 1) / 2 * VOXELS, 0, VOXELS - 1).astype(np.int64)
        voxels = np.zeros((len(signals), VOXELS, VOXELS, VOXELS), dtype=np.float32)
        voxels[(np.arange(len(signals))[:, None], *np.moveaxis(cell, -1, 0))] = 1
        return voxels.reshape(len(signals), -1)
    images = signals.originals().reshape(len(signals), *signals.card.grid, -1)
    for axis in range(1, 1 + signals.in_dim):
        while images.shape[axis] > MAX_SIDE:
            even = images.take(range(images.shape[axis] // 2 * 2), axis=axis)
            images = even.reshape(*even.shape[:axis], -1, 2, *even.shape[axis + 1 :]).mean(axis=axis + 1)
    return images.reshape(len(signals), -1)


def baseline_accuracy(signals: Signals) -> float:
    """Return the test accuracy of logistic regression whose regularization is selected on the validation split."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    labels, split = signals.labels_and_split("a baseline")
    inputs = features(signals)
    parts = {part: split == code for part, code in SPLITS.items()}
    inputs = (inputs - inputs[parts["train"]].mean(axis=0)) / max(float(inputs[parts["train"]].std()), 1e-6)
    scores = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a baseline need not converge fully
        for strength in STRENGTHS:
            model = LogisticRegression(C=strength / inputs.shape[1], max_iter=100)
            model.fit(inputs[parts["train"]], labels[parts["train"]])
            scores.append(tuple(float(model.score(inputs[parts[p]], labels[parts[p]])) for p in ("val", "test")))
    return max(scores, key=lambda score: score[0])[1]


def class_sheet(signals: Signals) -> bytes:
    """Return a PNG contact sheet with one row of signals per class, or a single row if there are no classes."""
    labels = np.zeros(len(signals), dtype=np.int64) if signals.labels is None else signals.labels
    rows = [np.flatnonzero(labels == label)[:SHEET_COLUMNS] for label in np.unique(labels)]
    width = min(map(len, rows))
    return contact_sheet([signals.pictures(row[:width]) for row in rows])


def check_location(location: str, *, options: Mapping[str, Scalar], source: str | None = None) -> Row:
    """Read and validate the data at a path or URI with the matching reader, and return its summary.

    Raises:
        BadSignals: a problem of the data, with its fix.
        BadConfig: an unknown reader or option.
    """
    name = source or reader_of(location)
    config = parse(SignalsConfig, {"name": name, "options": {"path": location, **options}}, where="signals")
    return {"checked": location, "reader": name, **summary(config, baseline=False)}


def reader_of(location: str) -> str:
    """Return the catalog name of the reader that matches the data at a path or URI.

    Raises:
        BadSignals: the location does not exist, or holds no file that a reader supports.
    """
    if location.lower().endswith(".parquet"):
        return "parquet"
    if location.lower().endswith(".npz"):
        return "arrays"
    files, _ = list_tree(location)
    for suffix, name in READERS.items():
        if any(file.name.lower().endswith(suffix) for file in files):
            return name
    raise BadSignals(f"{location} contains no {', '.join(READERS)} file; give a folder or file of signals")


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
"""File name suffixes and the catalog names of their readers."""
