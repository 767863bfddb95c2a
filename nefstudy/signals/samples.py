"""Sample points of shapes: stored ones, and pools of points that are made or read while a shape is fitted."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float16, Int, Shaped

Sides = tuple[Float16[np.ndarray, "I D"], Float16[np.ndarray, "O D"]]
"""Points inside a shape and points outside it, both in random order."""


@dataclass(frozen=True, eq=False)
class Pool:
    """The points of one shape that fits use after the stored ones, in blocks that are made or read when needed.

    Attributes:
        identity: text that determines the points; part of the content hash.
        blocks: number of blocks.
        sizes: numbers of points inside and outside, the same in every block.
        block: returns the points of a block, given its number.
    """

    identity: str
    blocks: int
    sizes: tuple[int, int]
    block: Callable[[int], Sides]

    @property
    def size(self) -> int:
        """Number of points in all blocks."""
        return self.blocks * sum(self.sizes)


@dataclass(frozen=True, eq=False)
class Samples:
    """Sample points of shapes in [-1, 1]^D: for each shape, P points for fitting and Q held-out points.

    Attributes:
        fitted: the first half is inside, the second half outside; used by fits (with pools, by their first steps),
            losses and pictures.
        held_out: uniform over a box around the shape; not used in fits.
        occupied: which held-out points are inside.
        pools: the `Pool` of each shape.
    """

    fitted: Float16[np.ndarray, "S P D"]
    held_out: Float16[np.ndarray, "S Q D"]
    occupied: Bool[np.ndarray, "S Q"]
    pools: Shaped[np.ndarray, " N"] | None = None  # N = S, checked in check.py

    def take(self, rows: Int[np.ndarray, " n"] | slice) -> "Samples":
        """Return the samples of the given shapes."""
        pools = None if self.pools is None else self.pools[rows]
        return Samples(self.fitted[rows], self.held_out[rows], self.occupied[rows], pools)
