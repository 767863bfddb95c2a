"""A full labelled set as Signals: checked, split, hashed, described by its card; images and shapes alike."""

import hashlib
from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple

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
from nefstudy.signals.signal import SPLITS, Samples, SignalCard, Signals
from nefstudy.signals.splits import carve_validation, stratified_split

VALIDATION_SHARE = 1 / 10
"""Of training signals, as the study has it: 5,000 of CIFAR10's and MicroImageNet's 50,000."""

LOOK_GRID = (32, 32, 32)
"""The grid shapes are looked at on unless asked otherwise: pictures, baselines."""


def labelled_set(
    values: Shaped[np.ndarray, "..."],
    labels: Shaped[np.ndarray, "..."],
    *,
    config: SignalsConfig,
    class_names: Sequence[str],
    license: str,
    source: str,
    split: Shaped[np.ndarray, "..."] | None = None,
    ids: Shaped[np.ndarray, "..."] | None = None,
    validation_share: float = VALIDATION_SHARE,
    samples: Samples | None = None,
) -> Signals:
    """Images on a grid, or shapes at samples, as a full and checked set; `image_set` and `shape_set` say how.

    Raises:
        BadSignals: what is wrong with the arrays, on one line.
    """
    where = f"signals {config.name!r} ({source})"
    refuse(value_problems(values), where=where)
    ids = np.arange(len(values)) if ids is None else ids
    _refuse_unfit(labels, ids, count=len(values), class_names=class_names, where=where)
    labels, ids = labels.astype(np.int64), ids.astype(np.int64)
    split = _whole_split(labels, split, class_names=class_names, share=validation_share, config=config, where=where)
    content = content_hash(values, labels, split=split, ids=ids, samples=samples)
    words = _Words(config.name, license, source, tuple(class_names))
    if samples is None:
        card = _image_card(words, content, values=values, training=values[split == SPLITS["train"]], where=where)
    else:
        card = _shape_card(words, content)
    return Signals(card, values, ids, labels, split, samples)


class _Words(NamedTuple):
    name: str
    license: str
    source: str
    class_names: tuple[str, ...]


def _shape_card(words: _Words, content: str) -> SignalCard:
    return SignalCard(
        **words._asdict(),
        kind="shape",
        quality="iou",
        content_hash=content,
        grid=LOOK_GRID,
        channels=1,
        mean=(0.0,),
        std=(1.0,),
    )


def _image_card(
    words: _Words,
    content: str,
    *,
    values: Shaped[np.ndarray, "S H W C"],
    training: Shaped[np.ndarray, "S2 H W C"],
    where: str,
) -> SignalCard:
    mean, std = channel_constants(training)
    if 0 in std:
        raise BadSignals(f"{where}: channel {std.index(0)} is constant over the training split; drop that channel")
    return SignalCard(
        **words._asdict(),
        kind="image",
        quality="psnr",
        content_hash=content,
        grid=values.shape[1:-1],
        channels=len(mean),
        mean=mean,
        std=std,
    )


def numbered_classes(labels: Shaped[np.ndarray, "..."], *, where: str) -> tuple[str, ...]:
    """Names for classes that have none: their numbers, 0 .. the highest label; none for labels that are no numbers.

    Raises:
        BadSignals: a label so high that it cannot be a class index.
    """
    count = int(labels.max()) + 1 if labels.size and labels.dtype.kind in "iu" else 0
    if count > 1 and labels.min() == 1:
        raise BadSignals(
            f"{where}: labels run from 1 to {count - 1}; subtract 1, so that they run from 0 to {count - 2}"
        )
    if count > labels.size:
        raise BadSignals(f"{where}: label {count - 1} among {labels.size} signals; number the classes from 0")
    return tuple(str(index) for index in range(count))


def _whole_split(
    labels: Int[np.ndarray, " S"],
    split: Shaped[np.ndarray, "..."] | None,
    *,
    class_names: Sequence[str],
    share: float,
    config: SignalsConfig,
    where: str,
) -> Int8[np.ndarray, " S"]:
    """A split with all three parts: the given one, completed by validation if it lacks it, or a drawn one."""
    if split is None:
        refuse(class_size_problems(labels, class_names), where=where)
        split = stratified_split(labels, seed=config.split_seed)
    refuse(code_problems(labels, split), where=where)
    if not (split == SPLITS["val"]).any():
        count = max(1, round(share * int((split == SPLITS["train"]).sum())))
        split = carve_validation(labels, split, count=count, seed=config.split_seed)
    refuse(split_problems(labels, split, class_names), where=where)
    return split.astype(np.int8)


def _refuse_unfit(
    labels: Shaped[np.ndarray, "..."],
    ids: Shaped[np.ndarray, "..."],
    *,
    count: int,
    class_names: Sequence[str],
    where: str,
) -> None:
    if labels.ndim == 2 and labels.shape[0] == count and labels.shape[1] > 1:
        raise BadSignals(f"{where}: labels have shape {labels.shape}, as one-hot ones; store labels.argmax(axis=1)")
    if not labels.shape == ids.shape == (count,):
        raise BadSignals(
            f"{where}: {count} signals, labels of shape {labels.shape}, ids of shape {ids.shape}; "
            f"give one label and one id per signal"
        )
    refuse(label_problems(labels, class_names), where=where)
    refuse(id_problems(ids), where=where)


def channel_constants(
    values: UInt8[np.ndarray, "S ... C"] | Float[np.ndarray, "S ... C"],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Per-channel mean and population deviation on [0, 1]; exact integer sums for uint8, so alike everywhere."""
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
    labels: Int[np.ndarray, " S"],
    *,
    split: Int[np.ndarray, " S"],
    ids: Int[np.ndarray, " S"],
    samples: Samples | None = None,
) -> str:
    """SHA-256 over shape, type and bytes of values, labels, split, ids and samples, in the source's order."""
    sha = hashlib.sha256()
    points = () if samples is None else (samples.fitted, samples.held_out, samples.occupied)
    for array in (values, labels.astype("<i8"), split.astype("<i1"), ids.astype("<i8"), *points):
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        sha.update(f"{little.dtype.str}{little.shape}".encode())
        sha.update(little.data)
    return sha.hexdigest()
