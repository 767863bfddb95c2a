"""Construction of a full set of signals of any kind: validation, split, content hash and card."""

import hashlib
from collections.abc import Sequence
from math import sqrt

import numpy as np
from jaxtyping import Float, Int, Int8, Shaped, UInt8

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadSignals
from nefstudy.signals.check import (
    class_size_problems,
    code_problems,
    id_problems,
    label_problems,
    refuse,
    split_problems,
    value_problems,
)
from nefstudy.signals.kinds import KINDS
from nefstudy.signals.samples import Samples
from nefstudy.signals.signal import LOGIT_LOSSES, SPLITS, SignalCard, SignalKind, Signals
from nefstudy.signals.splits import carve_validation, stratified_split

VALIDATION_SHARE = 1 / 10
"""Share of training signals used for validation, as in the study: 5,000 of 50,000 for CIFAR10 and MicroImageNet."""


def signal_set(
    values: Shaped[np.ndarray, "..."],
    *,
    kind: SignalKind,
    config: SignalsConfig,
    license: str,
    source: str,
    labels: Shaped[np.ndarray, "..."] | None = None,
    class_names: Sequence[str] = (),
    split: Shaped[np.ndarray, "..."] | None = None,
    ids: Shaped[np.ndarray, "..."] | None = None,
    validation_share: float = VALIDATION_SHARE,
    samples: Samples | None = None,
    grid: tuple[int, ...] | None = None,
) -> Signals:
    """Build a full, validated set of signals of one kind.

    `image_set` and `shape_set` wrap this function for their kinds.

    Args:
        values: [S, *grid, C] or, at samples, [S, P, C]; uint8 in 0..255 or float32 in [0, 1].
        labels: [S] class indices, 0 .. len(class_names) - 1; None for signals without classes.
        split: [S] 0 train, 1 val, 2 test. By default, labeled signals get a stratified split drawn with
            `config.split_seed`, and unlabeled ones are not split.
        ids: [S] identity of each signal, by default its row.
        validation_share: share of the training signals moved to validation if `split` has none.
        grid: extent of the grid on which sampled signals are displayed.

    Raises:
        BadSignals: the problems of the arrays, on one line.
    """
    where = f"signals {config.name!r} ({source})"
    refuse(value_problems(values), where=where)
    ids = np.arange(len(values)) if ids is None else ids
    _check_labels_and_ids(labels, ids, count=len(values), class_names=class_names, where=where)
    labels, ids = None if labels is None else labels.astype(np.int64), ids.astype(np.int64)
    split = _complete_split(
        labels, split, count=len(values), class_names=class_names, share=validation_share, config=config, where=where
    )
    training = values if split is None else values[split == SPLITS["train"]]
    mean, std = _constants(training, kind=kind, where=where)
    card = SignalCard(
        name=config.name,
        kind=kind.name,
        loss=kind.loss,
        license=license,
        source=source,
        content_hash=content_hash(values, labels, split=split, ids=ids, samples=samples, kind=kind),
        class_names=tuple(class_names),
        grid=values.shape[1:-1] if grid is None else grid,
        channels=len(mean),
        mean=mean,
        std=std,
    )
    return Signals(card, values, ids, labels, split, samples, kind=kind)


def _constants(
    training: Shaped[np.ndarray, "S ... C"], *, kind: SignalKind, where: str
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and std that standardize targets; 0 and 1 for occupancies, which stay unchanged."""
    if kind.loss in LOGIT_LOSSES:
        return (0.0,) * training.shape[-1], (1.0,) * training.shape[-1]
    mean, std = channel_constants(training)
    if 0 in std:
        raise BadSignals(f"{where}: channel {std.index(0)} is constant over the training split; drop that channel")
    return mean, std


def numbered_classes(labels: Shaped[np.ndarray, "..."], *, where: str) -> tuple[str, ...]:
    """Return the numbers from 0 to the highest label as class names, or no names if labels are not integers.

    Raises:
        BadSignals: labels that start at 1, or a label that exceeds the number of signals.
    """
    count = int(labels.max()) + 1 if labels.size and labels.dtype.kind in "iu" else 0
    if count > 1 and labels.min() == 1:
        raise BadSignals(
            f"{where}: labels range from 1 to {count - 1}; subtract 1, so that they range from 0 to {count - 2}"
        )
    if count > labels.size:
        raise BadSignals(f"{where}: label {count - 1} exceeds the {labels.size} signals; number the classes from 0")
    return tuple(str(index) for index in range(count))


def _complete_split(
    labels: Int[np.ndarray, " S"] | None,
    split: Shaped[np.ndarray, "..."] | None,
    *,
    count: int,
    class_names: Sequence[str],
    share: float,
    config: SignalsConfig,
    where: str,
) -> Int8[np.ndarray, " S"] | None:
    """Return a split with all three parts: the given split, with validation added if missing, or a drawn split."""
    if split is None:
        if labels is None:
            return None
        refuse(class_size_problems(labels, class_names), where=where)
        split = stratified_split(labels, seed=config.split_seed)
    refuse(code_problems(split, count=count), where=where)
    if not (split == SPLITS["val"]).any():
        moved = max(1, round(share * int((split == SPLITS["train"]).sum())))
        split = carve_validation(labels, split, count=moved, seed=config.split_seed)
    refuse(split_problems(labels, split, class_names), where=where)
    return split.astype(np.int8)


def _check_labels_and_ids(
    labels: Shaped[np.ndarray, "..."] | None,
    ids: Shaped[np.ndarray, "..."],
    *,
    count: int,
    class_names: Sequence[str],
    where: str,
) -> None:
    if labels is not None and labels.ndim == 2 and labels.shape[0] == count and labels.shape[1] > 1:
        raise BadSignals(f"{where}: labels have shape {labels.shape}, like one-hot labels; store labels.argmax(axis=1)")
    if ids.shape != (count,) or (labels is not None and labels.shape != (count,)):
        raise BadSignals(
            f"{where}: {count} signals, labels of shape {'none' if labels is None else labels.shape}, ids of shape "
            f"{ids.shape}; give one label and one id per signal"
        )
    refuse(label_problems(labels, class_names), where=where)
    refuse(id_problems(ids), where=where)


def channel_constants(
    values: UInt8[np.ndarray, "S ... C"] | Float[np.ndarray, "S ... C"],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and population standard deviation of each channel on the scale [0, 1].

    For uint8 they come from integer sums, which are exact and portable.
    """
    if values.dtype == np.uint8:
        pairs = [_byte_constants(values[..., channel]) for channel in range(values.shape[-1])]
        return tuple(mean for mean, _ in pairs), tuple(std for _, std in pairs)
    flat = values.reshape(-1, values.shape[-1])
    return tuple(flat.mean(axis=0, dtype=np.float64).tolist()), tuple(flat.std(axis=0, dtype=np.float64).tolist())


def _byte_constants(values: UInt8[np.ndarray, "..."]) -> tuple[float, float]:
    counts = [int(count) for count in np.bincount(values.ravel(), minlength=256)]
    number = sum(counts)
    total = sum(level * count for level, count in enumerate(counts))
    squares = sum(level * level * count for level, count in enumerate(counts))
    return total / (255 * number), sqrt(number * squares - total * total) / (255 * number)


def content_hash(
    values: Shaped[np.ndarray, "S ..."],
    labels: Int[np.ndarray, " S"] | None,
    *,
    split: Int[np.ndarray, " S"] | None,
    ids: Int[np.ndarray, " S"],
    samples: Samples | None = None,
    kind: SignalKind | None = None,
) -> str:
    """Return the SHA-256 of the shape, type and bytes of values, labels, split, ids and samples, in source order.

    It includes the identity of a kind that is not built in, because equal values of two kinds are fitted differently.
    """
    sha = hashlib.sha256()
    points = () if samples is None else (samples.fitted, samples.held_out, samples.occupied)
    codes = (None if labels is None else labels.astype("<i8"), None if split is None else split.astype("<i1"))
    for array in (values, *codes, ids.astype("<i8"), *points):
        if array is None:
            sha.update(b"none")
            continue
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        sha.update(f"{little.dtype.str}{little.shape}".encode())
        sha.update(little.data)
    for pool in () if samples is None or samples.pools is None else samples.pools:
        sha.update(f"pool {pool.identity}".encode())
    if kind is not None and kind.identity not in [built_in.identity for built_in in KINDS.values()]:
        sha.update(f"kind {kind.identity}".encode())
    return sha.hexdigest()
