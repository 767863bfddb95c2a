"""The division of a neural dataset into shards, determined by the recipe, and their assignment to ranks."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from nefstudy.neural_dataset.schema import SHARD_SIGNALS


@dataclass(frozen=True, eq=False)
class Shard:
    """A shard as a unit of work: the rows of a range of signals, in one view."""

    index: int
    view: int
    rows: Int[np.ndarray, " F"]


def all_shards(signals: int, views: int) -> tuple[Shard, ...]:
    """Return every shard of a neural dataset: ranges of SHARD_SIGNALS signals, view by view."""
    ranges = [np.arange(begin, min(begin + SHARD_SIGNALS, signals)) for begin in range(0, signals, SHARD_SIGNALS)]
    units = [(view, rows) for view in range(views) for rows in ranges]
    return tuple(Shard(index, view, rows) for index, (view, rows) in enumerate(units))


def owned(shards: tuple[Shard, ...], *, rank: int, world: int) -> tuple[Shard, ...]:
    """Return the shards of a rank: every `world`-th shard, starting at the rank's number."""
    return shards[rank::world]
