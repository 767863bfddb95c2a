"""Which fields each shard holds, and who fits it: fixed by the recipe, not by who computes."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from nefstudy.neural_dataset.schema import SHARD_SIGNALS


@dataclass(frozen=True, eq=False)
class Shard:
    """One unit of work: a range of signals in one view."""

    index: int
    view: int
    places: Int[np.ndarray, " F"]


def all_shards(signals: int, views: int) -> tuple[Shard, ...]:
    """Every shard of a neural dataset: view by view, ranges of SHARD_SIGNALS signals."""
    ranges = [np.arange(begin, min(begin + SHARD_SIGNALS, signals)) for begin in range(0, signals, SHARD_SIGNALS)]
    units = [(view, places) for view in range(views) for places in ranges]
    return tuple(Shard(index, view, places) for index, (view, places) in enumerate(units))


def owned(shards: tuple[Shard, ...], *, rank: int, world: int) -> tuple[Shard, ...]:
    """The shards a rank fits: every world-th from its own number."""
    return shards[rank::world]
