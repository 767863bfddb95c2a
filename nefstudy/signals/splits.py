"""Splits and subsets: which signals train, validate and test, and which come first."""

import numpy as np
from jaxtyping import Int, Int8

from nefstudy.seeds import stream
from nefstudy.signals.signal import SPLITS, Split

FRACTIONS = (0.72, 0.08, 0.20)
"""Shares of train, val and test where a source has no split of its own: 3600/400/1000 of 5,000 digits."""

LEAST_PER_CLASS = 3

PARTS: dict[str, Split] = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""What files and folders call a split."""


def stratified_split(
    labels: Int[np.ndarray, " S"], *, seed: int, fractions: tuple[float, float, float] = FRACTIONS
) -> Int8[np.ndarray, " S"]:
    """A seeded split with the given shares of every class, at least one signal of it in each.

    A class's draw depends on the seed, its label and its size only, not on the other classes. Classes must hold
    `LEAST_PER_CLASS` signals or more.
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
    """Return the split with `count` training signals moved to validation, in the classes' proportions."""
    carved = split.astype(np.int8)
    train = np.flatnonzero(split == SPLITS["train"])
    order = stratified_order(None if labels is None else labels[train], split[train], seed=seed)
    carved[train[order[:count]]] = SPLITS["val"]
    return carved


def stratified_order(
    labels: Int[np.ndarray, " S"] | None, split: Int[np.ndarray, " S"], *, seed: int
) -> Int[np.ndarray, " S"]:
    """Return all rows in a seeded order whose every prefix is a stratified subset.

    One training signal of each class comes first, then one validation and one test signal of each class in turn,
    then every (class, split) in proportion to its size: the rank-r signal of a stratum of m is placed by
    (r + 1/2) / m, which is Webster's apportionment (Sainte-Laguë 1910), so larger subsets contain smaller ones.
    Without labels all signals are of one class.
    """
    labels = np.zeros(len(split), dtype=np.int64) if labels is None else labels
    classes = np.unique(labels)
    turns = stream(seed, "order", "classes").permutation(len(classes))
    place = np.empty(len(labels), dtype=np.float64)
    for label, turn in zip(classes, turns, strict=True):
        for code in np.unique(split[labels == label]):
            rows = np.flatnonzero((labels == label) & (split == code))
            rows = stream(seed, "order", int(label), int(code)).permutation(rows)
            place[rows] = (np.arange(len(rows)) + 0.5) / len(rows)
            place[rows[0]] = _first_place(int(code), int(turn), len(classes))
    ties = stream(seed, "order", "ties").permutation(len(labels))
    return np.lexsort((ties, place)).astype(np.int64)


def _first_place(code: int, turn: int, classes: int) -> float:
    """Where the first signal of a stratum stands: before every proportional place, training first."""
    if code == SPLITS["train"]:
        return -2 + turn / classes
    return -1 + (turn + (0.5 if code == SPLITS["test"] else 0.0)) / classes
