"""The optimization problem of a fit: field, loss, optimizer, and the points of each step."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float16, Int
from torch import Tensor

from nefstudy.config import NeuralDatasetConfig
from nefstudy.fields.field import NeuralField
from nefstudy.fields.padding import padded
from nefstudy.seeds import stream
from nefstudy.signals.samples import Pool, Samples
from nefstudy.signals.signal import LossName, Signals

REUSED = 16
"""Times that a fit of a shape uses as many points as are stored before it gets one more block of the shape's pool."""


@dataclass(frozen=True)
class Problem:
    """The field, loss and optimizer of a fit, which determine an engine's compiled program."""

    field: NeuralField
    loss: LossName
    optimizer: Literal["adamw", "sgd"]


@runtime_checkable
class PointSampler(Protocol):
    """The source of the points at which a step compares F fields with their signals."""

    def at(self, step: int) -> tuple[Float[Tensor, "*F Q D"], Float[Tensor, "F P C"]]:
        """Return the coordinates (padded or not) and targets of a step.

        Steps are counted from 0 and requested in ascending order.
        """


@dataclass(frozen=True, eq=False)
class WholeGrid:
    """A point sampler that returns all points at every step: a shared grid or separate points per field."""

    coords: Float[Tensor, "*F Q D"]
    targets: Float[Tensor, "F P C"]

    def at(self, step: int) -> tuple[Float[Tensor, "*F Q D"], Float[Tensor, "F P C"]]:
        """Return all coordinates and targets."""
        del step
        return self.coords, self.targets


class DrawnPoints:
    """A point sampler that draws points with replacement: equal numbers per stratum, from one random stream per signal.

    A stream is named by (seed, signal id, view), so a signal's points do not depend on the other signals.
    """

    def __init__(
        self, grid: WholeGrid, *, count: int, seed: int, ids: Sequence[int] | np.ndarray, view: int, strata: int = 1
    ) -> None:
        self._grid = grid
        self._count = count // strata
        self._strata = strata
        self._streams = [stream(seed, "points", int(i), view) for i in ids]
        self._lanes = torch.arange(len(self._streams)).unsqueeze(1)

    def at(self, step: int) -> tuple[Float[Tensor, "F P D"], Float[Tensor, "F P C"]]:
        """Return the step's coordinates and targets, which differ between fields."""
        del step
        index = torch.from_numpy(np.stack([self._draw(rng) for rng in self._streams]))
        coords, targets = self._grid.coords, self._grid.targets
        drawn = coords[index] if coords.ndim == 2 else coords[self._lanes, index]
        return drawn, targets[self._lanes, index]

    def _draw(self, rng: np.random.Generator) -> Int[np.ndarray, " P"]:
        size = self._grid.targets.shape[1] // self._strata
        return np.concatenate([rng.integers(0, size, self._count) + size * part for part in range(self._strata)])


class PooledPoints:
    """Consecutive points of both sides of each shape, which are in random order: first stored ones, then its pool's.

    A fit begins with the stored points. Each time it has used `REUSED` times as many points as are stored, one more
    block of the pool is made or read, until the pool is complete. So a short fit does not pay for points that it would
    hardly use. Fits of a signal begin at random places, named by (seed, signal id, view), and a signal's points do not
    depend on the other signals.
    """

    def __init__(
        self,
        samples: Samples,
        targets: Float[Tensor, "F P C"],
        *,
        count: int,
        seed: int,
        ids: Sequence[int] | np.ndarray,
        view: int,
    ) -> None:
        assert samples.pools is not None
        self._half, self._stored = count // 2, samples.fitted.shape[1]
        self._targets = targets[:, [0, -1]].repeat_interleave(self._half, dim=1)
        begins = [np.split(points, 2) for points in samples.fitted]
        places = [stream(seed, "points", int(i), view).random() for i in ids]
        self._lanes = list(zip(begins, samples.pools, places, strict=True))
        self._block = cache(lambda pool, number: pool.block(number))

    def at(self, step: int) -> tuple[Float[Tensor, "F P D"], Float[Tensor, "F P C"]]:
        """Return the step's coordinates, half of them inside and half outside, and their targets."""
        drawn = [
            np.concatenate([p for side in (0, 1) for p in self._pieces(*lane, side, step)]) for lane in self._lanes
        ]
        return torch.from_numpy(np.stack(drawn)).float(), self._targets

    def _pieces(
        self, stored: Sequence[np.ndarray], pool: Pool, place: float, side: int, step: int
    ) -> Iterator[Float16[np.ndarray, "n D"]]:
        """Yield the points of one side, in as many pieces as there are blocks from which they come."""
        blocks = min(step * 2 * self._half // (REUSED * self._stored), pool.blocks)
        size = pool.sizes[side] if blocks else len(stored[side])
        position, left = int(place * size) + step * self._half, self._half
        while left:
            number, first = divmod(position % (max(blocks, 1) * size), size)
            block = self._block(pool, number) if blocks else stored
            piece = block[side][first : first + left]
            yield piece
            position, left = position + len(piece), left - len(piece)


def step_points(
    signals: Signals, recipe: NeuralDatasetConfig, *, rows: Int[np.ndarray, " F"], view: int
) -> tuple[WholeGrid, PointSampler]:
    """Return the whole grid of the given signals, and the source of each step's points."""
    targets = torch.from_numpy(np.ascontiguousarray(signals.targets(rows)))
    grid = WholeGrid(padded(torch.from_numpy(signals.coords(rows))), targets)
    count = recipe.batch_points or signals.kind.step_points
    if count is None:
        return grid, grid
    ids = signals.ids[rows]
    if signals.samples is not None and signals.samples.pools is not None:
        samples = signals.samples.take(rows)
        return grid, PooledPoints(samples, targets, count=count, seed=recipe.seed, ids=ids, view=view)
    return grid, DrawnPoints(grid, count=count, seed=recipe.seed, ids=ids, view=view, strata=signals.kind.strata)
