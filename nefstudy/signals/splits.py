"""Stratified splits into train, validation and test, and an order in which every prefix is stratified."""

import numpy as np
from jaxtyping import Int, Int8

from nefstudy.seeds import stream
from nefstudy.signals.signal import SPLITS, Split

FRACTIONS = (0.72, 0.08, 0.20)
"""Shares of train, val and test if a source defines no split: 3600/400/1000 of 5,000 digits."""

MIN_PER_CLASS = 3

PARTS: dict[str, Split] = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""Names of splits in files and folders."""


def stratified_split(
    labels: Int[np.ndarray, " S"], *, seed: int, fractions: tuple[float, float, float] = FRACTIONS
) -> Int8[np.ndarray, " S"]:
    """Draw a seeded split that divides each class by the given shares, with at least one signal of each class per part.

    The draw of a class depends only on the seed, its label and its size. Classes must have at least `MIN_PER_CLASS`
    signals.
    """
    split = np.full(len(labels), SPLITS["train"], dtype=np.int8)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        rows = stream(seed, "split", int(label)).permutation(rows)
        test = max(1, round(fractions[2] * len(rows)))
        val = max(1, round(fractions[1] * len(rows)))
        split[rows[:test]] = SPLITS["test"]
        split[rows[test : test + val]] = SPLITS["val"]
    return split


def carve_validation(
    labels: Int[np.ndarray, " S"] | None, split: Int[np.ndarray, " S"], *, count: int, seed: int
) -> Int8[np.ndarray, " S"]:
    """Return the split with `count` training signals moved to validation, in proportion to the class sizes."""
    carved = split.astype(np.int8)
    train = np.flatnonzero(split == SPLITS["train"])
    order = stratified_order(None if labels is None else labels[train], split[train], seed=seed)
    carved[train[order[:count]]] = SPLITS["val"]
    return carved


def without_test(
    labels: Int[np.ndarray, " S"] | None, split: Int[np.ndarray, " S"], *, seed: int
) -> tuple[Int[np.ndarray, " n"], Int8[np.ndarray, " n"]]:
    """Return the rows of the training and validation signals in ascending order, and a new split of these rows.

    Training signals of each class move to validation, until training has the share of the remaining signals that it had
    of all signals: of 400 digits, 290 + 110 instead of 290 + 30 + 80. Which signals move depends only on the seed, the
    label and the number of training signals of the class. No validation signal moves, and each class keeps a training
    signal. Without labels, all signals belong to one class.
    """
    labels = np.zeros(len(split), dtype=np.int64) if labels is None else labels
    resplit = split.astype(np.int8)
    for label in np.unique(labels):
        of_class = labels == label
        rows = np.flatnonzero(of_class & (split == SPLITS["train"]))
        left = np.count_nonzero(of_class & (split != SPLITS["test"]))
        kept = min(len(rows), max(1, round(len(rows) * left / np.count_nonzero(of_class))))
        moved = stream(seed, "split", "without test", int(label)).permutation(rows)[kept:]
        resplit[moved] = SPLITS["val"]
    rows = np.flatnonzero(split != SPLITS["test"])
    return rows, resplit[rows]


def stratified_order(
    labels: Int[np.ndarray, " S"] | None, split: Int[np.ndarray, " S"], *, seed: int
) -> Int[np.ndarray, " S"]:
    """Return all rows in a seeded order in which every prefix is a stratified subset.

    One training signal of each class comes first, then one validation and one test signal of each class in turn,
    then every (class, split) stratum in proportion to its size: the signal of rank r in a stratum of m is sorted by
    (r + 1/2) / m, which is Webster's apportionment (Sainte-Laguë 1910). Larger subsets contain smaller ones.
    Without labels, all signals belong to one class.
    """
    labels = np.zeros(len(split), dtype=np.int64) if labels is None else labels
    classes = np.unique(labels)
    turns = stream(seed, "order", "classes").permutation(len(classes))
    position = np.empty(len(labels), dtype=np.float64)
    for label, turn in zip(classes, turns, strict=True):
        for code in np.unique(split[labels == label]):
            rows = np.flatnonzero((labels == label) & (split == code))
            rows = stream(seed, "order", int(label), int(code)).permutation(rows)
            position[rows] = (np.arange(len(rows)) + 0.5) / len(rows)
            position[rows[0]] = _first_position(int(code), int(turn), len(classes))
    ties = stream(seed, "order", "ties").permutation(len(labels))
    return np.lexsort((ties, position)).astype(np.int64)


def _first_position(code: int, turn: int, classes: int) -> float:
    """Return the sort key of a (class, split) stratum's first signal; it sorts before all others, training first."""
    if code == SPLITS["train"]:
        return -2 + turn / classes
    return -1 + (turn + (0.5 if code == SPLITS["test"] else 0.0)) / classes
