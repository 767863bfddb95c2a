"""The catalog of signals: for each name, the source that reads or generates the full set."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache

import numpy as np
from jaxtyping import Int, Int8

from nefstudy.config import SignalsConfig, parse
from nefstudy.errors import BadConfig, BadSignals
from nefstudy.signals.check import check
from nefstudy.signals.signal import Signals
from nefstudy.signals.sources.arrays import read_arrays
from nefstudy.signals.sources.cifar import read_cifar10
from nefstudy.signals.sources.digits import digits8, mnist5k
from nefstudy.signals.sources.digits3d import digits3d
from nefstudy.signals.sources.images import read_folder
from nefstudy.signals.sources.microimagenet import read_microimagenet
from nefstudy.signals.sources.mnist import FASHION_MNIST, read_fashion_mnist, read_mnist
from nefstudy.signals.sources.occupancy import read_occupancy, read_shapenet10
from nefstudy.signals.sources.parquet import read_parquet
from nefstudy.signals.sources.photographs import photo_patches_32, photo_patches_64
from nefstudy.signals.sources.shapes10 import shapes10
from nefstudy.signals.splits import stratified_order, without_test

SignalSource = Callable[[SignalsConfig], Signals]

SIGNALS: dict[str, SignalSource] = {
    "mnist5k": mnist5k,
    "digits8": digits8,
    "photo-patches-32": photo_patches_32,
    "photo-patches-64": photo_patches_64,
    "digits3d": digits3d,
    "shapes10": shapes10,
    "mnist": read_mnist,
    "fashion-mnist": read_fashion_mnist,
    "cifar10": read_cifar10,
    "microimagenet": read_microimagenet,
    "shapenet10": read_shapenet10,
    "folder": read_folder,
    "arrays": read_arrays,
    "parquet": read_parquet,
    "occupancy": read_occupancy,
}


BUNDLED = frozenset({"mnist5k", "digits8", "photo-patches-32", "photo-patches-64", "digits3d", "shapes10"})
"""Sources that need no path: their data ships inside installed packages or is generated."""

INSTALLABLE: dict[str, str] = {"fashion-mnist": FASHION_MNIST}
"""Sources that need no path if `make data` has installed their data."""


def load_signals(config: SignalsConfig, *, sources: Mapping[str, SignalSource] = SIGNALS) -> Signals:
    """Return the configured signals: the full set in stratified order, or its first `subset` signals.

    Every prefix of the order contains all classes and splits in proportion. Ids come from the source and are by default
    a signal's index in it. The constants and content hash on the card are those of the full set, also with
    `config.without_test`, which leaves signals without a split unchanged.

    Raises:
        BadConfig: an unknown name or option, or a subset that is too small or too large.
        BadSignals: the data is missing, unreadable, inconsistent, or differs from the pinned `config.content`.
    """
    if config.name not in sources:
        raise BadConfig(f"unknown signals {config.name!r}; allowed: {', '.join(sources)}; choose one of them")
    source, whole = sources[config.name], {"subset": None, "content": None, "without_test": False}
    text = config.model_copy(update=whole).canonical_json()
    signals = _full(source, text)
    content = signals.card.content_hash
    if config.content not in (None, content):
        raise BadSignals(
            f"signals {config.name!r}: the data now hashes to {content[:12]}, but the configuration was made for "
            f"{str(config.content)[:12]}; restore the old data or plan the study again"
        )
    if not config.without_test or signals.split is None:
        _check_subset(signals, config, of=len(signals))
        return signals.first(len(signals) if config.subset is None else config.subset)
    rows, split = _rows_without_test(source, text)
    _check_subset(signals, config, of=len(rows))
    chosen = signals.select(rows[: config.subset])
    chosen.values.flags.writeable = False
    return replace(chosen, split=split[: config.subset].copy())


def pin(config: SignalsConfig, *, sources: Mapping[str, SignalSource] = SIGNALS) -> SignalsConfig:
    """Return the configuration with `content` set to the data's hash, so that changed data changes the digest.

    Raises:
        BadConfig, BadSignals: as `load_signals`.
    """
    signals = load_signals(config, sources=sources)
    return config.model_copy(update={"content": signals.card.content_hash})


@lru_cache(maxsize=2)
def _full(source: SignalSource, text: str) -> Signals:
    """Return a full set, validated and in stratified order.

    Cached because all trials of a process share it.
    """
    config = parse(SignalsConfig, text, where="signals")
    signals: object = source(config)
    if not isinstance(signals, Signals):
        raise BadConfig(
            f"signals {config.name!r}: the source returns {type(signals).__name__}; return Signals, made by signal_set"
        )
    check(signals, where=f"signals {config.name!r}")
    parts = np.zeros(len(signals), dtype=np.int8) if signals.split is None else signals.split
    ordered = signals.select(stratified_order(signals.labels, parts, seed=config.split_seed))
    ordered.values.flags.writeable = False
    return ordered


@lru_cache(maxsize=2)
def _rows_without_test(source: SignalSource, text: str) -> tuple[Int[np.ndarray, " n"], Int8[np.ndarray, " n"]]:
    """Return the rows of a full set that are not test signals, in stratified order, and their new split.

    Cached as rows, because a copy of the values would double the memory of a large set.
    """
    signals, seed = _full(source, text), parse(SignalsConfig, text, where="signals").split_seed
    if signals.split is None:
        raise BadSignals(f"signals {signals.card.name!r} have no split, so there are no test signals to leave out")
    rows, split = without_test(signals.labels, signals.split, seed=seed)
    order = stratified_order(None if signals.labels is None else signals.labels[rows], split, seed=seed)
    return rows[order], split[order]


def _check_subset(signals: Signals, config: SignalsConfig, *, of: int) -> None:
    count = of if config.subset is None else config.subset
    classes = len(signals.card.class_names)
    parts = (
        () if signals.split is None else ("one validation",) if config.without_test else ("one validation", "one test")
    )
    smallest = max(classes, 1) + len(parts)
    if not smallest <= count <= of:
        needs = ", ".join((f"one training signal{' per class' if classes else ''}", *parts))
        raise BadConfig(
            f"signals {config.name!r}: subset {count} is not in {smallest} ({needs}) to {of}; "
            "change it, or omit it to use all"
        )
