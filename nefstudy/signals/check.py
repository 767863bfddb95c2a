"""Validation of a set of signals. Each check yields the problems that it finds."""

from collections.abc import Iterator, Sequence

import numpy as np

from nefstudy.errors import BadSignals
from nefstudy.signals.kinds import KINDS
from nefstudy.signals.samples import Samples
from nefstudy.signals.signal import SPLITS, SignalKind, Signals
from nefstudy.signals.splits import MIN_PER_CLASS

SHOWN_PROBLEMS = 4
"""Number of problems that one message lists; further problems are only counted."""


def check(signals: Signals, *, where: str) -> None:
    """Validate a set of signals.

    Raises:
        BadSignals: the first few problems, on one line.
    """
    refuse(value_problems(signals.values), where=where)
    refuse(label_problems(signals.labels, signals.card.class_names), where=where)
    refuse(id_problems(signals.ids), where=where)
    if signals.split is not None:
        refuse(code_problems(signals.split, count=len(signals.values)), where=where)
        refuse(split_problems(signals.labels, signals.split, signals.card.class_names), where=where)
    refuse(_kind_problems(signals.kind), where=where)
    refuse(_card_problems(signals), where=where)


def refuse(problems: Iterator[str] | Sequence[str], *, where: str) -> None:
    """Raise an error if there are any problems.

    Raises:
        BadSignals: the first few problems, on one line that begins with `where`.
    """
    listed = list(problems)
    if listed:
        more = f"; and {len(listed) - SHOWN_PROBLEMS} more" if len(listed) > SHOWN_PROBLEMS else ""
        raise BadSignals(f"{where}: {'; '.join(listed[:SHOWN_PROBLEMS])}{more}")


def value_problems(values: np.ndarray) -> Iterator[str]:
    """Yield the problems with values [S, *grid, C]: a wrong shape or type, or numbers that are not in [0, 1]."""
    if values.ndim < 3 or 0 in values.shape:
        yield f"values have shape {values.shape}; give [signals, *grid, channels], with no axis of length 0"
    elif min(values.shape[1:-1]) < 2:
        yield f"values have shape {values.shape}; a grid needs at least 2 points along each axis"
    elif values.dtype == np.float32:
        yield from _float_problems(values)
    elif values.dtype != np.uint8:
        yield f"values are {values.dtype}; store uint8 in 0..255 or float32 in [0, 1]"


def _float_problems(values: np.ndarray) -> Iterator[str]:
    flat = values.reshape(len(values), -1)
    finite = np.isfinite(flat).all(axis=1)
    if not finite.all():
        yield f"{_rows(~finite)} NaN or infinity; remove or fix them"
        return
    outside = (flat.min(axis=1) < 0) | (flat.max(axis=1) > 1)
    if outside.any():
        yield f"{_rows(outside)} values outside [0, 1] (found {flat.min():g} to {flat.max():g}); rescale to [0, 1]"


def _rows(wrong: np.ndarray) -> str:
    rows = np.flatnonzero(wrong)
    return f"signal {rows[0]} holds" if len(rows) == 1 else f"{len(rows)} signals, the first at row {rows[0]}, hold"


def label_problems(labels: np.ndarray | None, class_names: Sequence[str]) -> Iterator[str]:
    """Yield the problems with labels [S] that are not integers in 0 .. classes - 1."""
    classes = len(class_names)
    if labels is None:
        if classes:
            yield f"class names are {list(class_names)}, but there are no labels; give both or neither"
    elif labels.ndim != 1 or not labels.size:
        yield f"labels have shape {labels.shape}; give one class index per signal"
    elif labels.dtype.kind in "USO":
        yield f"labels are text ({str(labels.flat[0])!r}); store class indices from 0 and the text under class_names"
    elif labels.dtype.kind not in "iu":
        yield f"labels are {labels.dtype}; store integer class indices from 0, such as labels.astype(int)"
    elif len(set(class_names)) != classes or classes < 2:
        yield f"class names are {list(class_names)}; give two or more distinct names"
    elif labels.min() < 0 or labels.max() >= classes:
        yield f"labels range from {labels.min()} to {labels.max()}; allowed: 0 to {classes - 1}; renumber them"


def id_problems(ids: np.ndarray) -> Iterator[str]:
    """Yield the problems with ids [S] that are repeated, negative or not integers."""
    if ids.dtype.kind not in "iu" or ids.ndim != 1:
        yield f"ids are {ids.dtype} of shape {ids.shape}; give one integer per signal"
        return
    distinct, counts = np.unique(ids, return_counts=True)
    if distinct.size and distinct[0] < 0:
        yield f"id {distinct[0]} is negative; number signals from 0"
    repeated = distinct[counts > 1]
    if repeated.size:
        times = counts[counts > 1][0]
        yield f"id {repeated[0]} is used {times} times ({repeated.size} repeated ids); give each signal a unique id"


def code_problems(split: np.ndarray, *, count: int) -> Iterator[str]:
    """Yield the problems with split codes [S]: a wrong count, or values other than 0, 1 and 2."""
    if split.shape != (count,) or split.dtype.kind not in "iu":
        yield f"split is {split.dtype} of shape {split.shape}; give one of 0 train, 1 val, 2 test per signal"
        return
    unknown = np.setdiff1d(split, list(SPLITS.values()))
    if unknown.size:
        yield f"split contains {unknown[0]}; allowed: 0 train, 1 val, 2 test; correct it"


def split_problems(labels: np.ndarray | None, split: np.ndarray, class_names: Sequence[str]) -> Iterator[str]:
    """Yield the problems with a split of valid codes: an empty part, or a class without training signals."""
    for part, code in SPLITS.items():
        if not (split == code).any():
            yield f"no signal is in the {part} split; add some of every class"
    for index, name in enumerate(class_names):
        if not ((labels == index) & (split == SPLITS["train"])).any():
            yield f"class {name!r} has no training signal; add some or drop the class"


def class_size_problems(labels: np.ndarray, class_names: Sequence[str]) -> Iterator[str]:
    """Yield a problem for each class that is too small to split into train, val and test."""
    for index, count in enumerate(np.bincount(labels, minlength=len(class_names))):
        if count < MIN_PER_CLASS:
            yield (
                f"class {class_names[index]!r} has {count} signal{'' if count == 1 else 's'}; "
                f"a split needs {MIN_PER_CLASS} of each class: add some or drop the class"
            )


def _kind_problems(kind: SignalKind) -> Iterator[str]:
    if kind.name in KINDS and kind != KINDS[kind.name]:
        yield f"the kind {kind.name!r} differs from the built-in kind of that name; give it another name"


def _card_problems(signals: Signals) -> Iterator[str]:
    card, kind, shape = signals.card, signals.kind, signals.values.shape
    columns = (signals.ids, signals.labels, signals.split)
    lengths = {shape[0], *(len(column) for column in columns if column is not None)}
    if len(lengths) > 1:
        yield f"values, ids, labels and split have different lengths {sorted(lengths)}; give one row per signal"
    if (card.kind, card.loss) != (kind.name, kind.loss):
        yield (
            f"the card has kind {card.kind!r} with loss {card.loss}, the signals have {kind.name!r} with {kind.loss}; "
            "make them equal"
        )
    if kind.axes not in (None, len(card.grid)):
        yield f"grid {card.grid} has {len(card.grid)} axes, {kind.nouns} have {kind.axes}; correct the grid or the kind"
    if kind.sampled and signals.samples is None:
        yield f"{kind.nouns} need samples, but there are none; create the set with shape_set"
    elif signals.samples is not None and not kind.sampled:
        yield f"{kind.nouns} are on a grid, but there are samples; omit them, or use a sampled kind"
    elif signals.samples is not None:
        yield from _sample_problems(signals, signals.samples)
    elif (*card.grid, card.channels) != shape[1:]:
        yield (
            f"the card has grid {card.grid} and {card.channels} channels, the values have shape {shape[1:]}; "
            "correct the card"
        )
    if not len(card.mean) == len(card.std) == card.channels:
        yield (
            f"the card has {len(card.mean)} means and {len(card.std)} deviations for {card.channels} channels; "
            "give one of each per channel"
        )
    if not all(np.isfinite(card.mean)) or not all(np.isfinite(s) and s > 0 for s in card.std):
        yield f"the card has mean {card.mean} and deviation {card.std}; both must be finite, deviations above 0"


def _sample_problems(signals: Signals, samples: Samples) -> Iterator[str]:
    shape, dims = signals.values.shape, len(signals.card.grid)
    if (samples.fitted.shape, samples.held_out.shape) != ((*shape[:2], dims), (*samples.occupied.shape, dims)):
        yield (
            f"samples have shapes {samples.fitted.shape}, {samples.held_out.shape} and {samples.occupied.shape} for "
            f"values of shape {shape}; give one point of {dims} coordinates per value"
        )
        return
    half = shape[1] // 2
    inside = (signals.values > 0).reshape(len(signals.values), -1)
    wrong = ~inside[:, :half].all(axis=1) | inside[:, half:].any(axis=1)
    if shape[1] % 2 or wrong.any():
        yield "fitted samples are not half inside, then half outside; order them that way"
    if samples.pools is not None and len(samples.pools) != shape[0]:
        yield f"there are {len(samples.pools)} pools of points for {shape[0]} shapes; give one per shape"
    if not all(np.abs(points).max(initial=0) <= 1 for points in (samples.fitted, samples.held_out)):
        yield "samples are outside [-1, 1] or not finite; scale them to [-1, 1]"
