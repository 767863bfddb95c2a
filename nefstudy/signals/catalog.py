"""The catalogue of signals: a name, and how its full set is read."""

from collections.abc import Callable, Mapping
from functools import lru_cache

import numpy as np

from nefstudy.config import SignalsConfig, parse
from nefstudy.errors import BadConfig, BadSignals
from nefstudy.scalars import Scalar
from nefstudy.signals.arrays import read_arrays
from nefstudy.signals.check import check
from nefstudy.signals.cifar import read_cifar10
from nefstudy.signals.digits import digits8, mnist5k
from nefstudy.signals.digits3d import digits3d
from nefstudy.signals.images import read_folder
from nefstudy.signals.microimagenet import read_microimagenet
from nefstudy.signals.mnist import read_mnist
from nefstudy.signals.occupancy import read_occupancy, read_shapenet10
from nefstudy.signals.parquet import read_parquet
from nefstudy.signals.photographs import photo_patches_32, photo_patches_64
from nefstudy.signals.shapes10 import shapes10
from nefstudy.signals.signal import Signals
from nefstudy.signals.splits import stratified_order

SignalSource = Callable[[SignalsConfig], Signals]

SIGNALS: dict[str, SignalSource] = {
    "mnist5k": mnist5k,
    "digits8": digits8,
    "photo-patches-32": photo_patches_32,
    "photo-patches-64": photo_patches_64,
    "digits3d": digits3d,
    "shapes10": shapes10,
    "mnist": read_mnist,
    "cifar10": read_cifar10,
    "microimagenet": read_microimagenet,
    "shapenet10": read_shapenet10,
    "folder": read_folder,
    "arrays": read_arrays,
    "parquet": read_parquet,
    "occupancy": read_occupancy,
}


BUNDLED = frozenset({"mnist5k", "digits8", "photo-patches-32", "photo-patches-64", "digits3d", "shapes10"})
"""Sources that need no path: they ship inside installed packages, or are made here."""


def load_signals(config: SignalsConfig, *, sources: Mapping[str, SignalSource] = SIGNALS) -> Signals:
    """The signals a configuration asks for: the full set in stratified order, or its first `subset`.

    Rows are ordered so that every prefix holds all classes and splits in proportion; ids name each signal in its
    source's order. Constants and content hash on the card are the full set's.

    Raises:
        BadConfig: an unknown name or option, or a subset the set cannot give.
        BadSignals: the data is missing, unreadable, inconsistent, or not what `config.content` pinned.
    """
    if config.name not in sources:
        raise BadConfig(f"unknown signals {config.name!r}: allowed are {', '.join(sources)}; choose one of them")
    signals = _full(sources[config.name], config.model_copy(update={"subset": None, "content": None}).canonical_json())
    found = signals.card.content_hash
    if config.content not in (None, found):
        raise BadSignals(
            f"signals {config.name!r}: the data now hashes to {found[:12]}, the configuration was made for "
            f"{str(config.content)[:12]}; bring the old data back or plan the study again"
        )
    return _first(signals, config)


def pin(config: SignalsConfig, *, sources: Mapping[str, SignalSource] = SIGNALS) -> SignalsConfig:
    """The configuration with `content` filled in, so that changed data is a different experiment.

    Raises:
        BadConfig, BadSignals: as `load_signals`.
    """
    signals = load_signals(config, sources=sources)
    return config.model_copy(update={"content": signals.card.content_hash})


def with_options(source: SignalSource, **options: Scalar) -> SignalSource:
    """The source with some options given, to put under a name of one's own.

    `SIGNALS | {"flowers": with_options(read_folder, path="/data/flowers")}` makes cells named `flowers/...`.
    """

    def named(config: SignalsConfig) -> Signals:
        return source(config.model_copy(update={"options": {**options, **config.options}}))

    return named


@lru_cache(maxsize=2)
def _full(source: SignalSource, text: str) -> Signals:
    """A whole set, checked, in stratified order; kept for the process because trials share it."""
    config = parse(SignalsConfig, text, where="signals")
    signals = source(config)
    check(signals, where=f"signals {config.name!r}")
    parts = np.zeros(len(signals), dtype=np.int8) if signals.split is None else signals.split
    ordered = signals.select(stratified_order(signals.labels, parts, seed=config.split_seed))
    ordered.values.flags.writeable = False
    return ordered


def _first(signals: Signals, config: SignalsConfig) -> Signals:
    count = len(signals) if config.subset is None else config.subset
    classes, parts = len(signals.card.class_names), 0 if signals.split is None else 2
    least = max(classes, 1) + parts
    if not least <= count <= len(signals):
        each = [f"one training signal{' a class' if classes else ''}", "one to validate", "one to test"][: parts + 1]
        raise BadConfig(
            f"signals {config.name!r}: subset {count} is not among {least} ({', '.join(each)}) to {len(signals)}; "
            "change it or leave it out for all"
        )
    return signals.first(count)
