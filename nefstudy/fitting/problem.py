"""What a fit minimises: a field, a loss, an optimizer, and the points each step looks at."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nefstudy.config import NeuralDatasetConfig
from nefstudy.fields.field import NeuralField
from nefstudy.fields.loss import LossName
from nefstudy.fields.padding import padded
from nefstudy.seeds import stream
from nefstudy.signals.signal import Signals


@dataclass(frozen=True)
class Problem:
    """The step that every field of a fit takes; what an engine keeps a compiled program for."""

    field: NeuralField
    loss: LossName
    optimizer: Literal["adamw", "sgd"]


@runtime_checkable
class Points(Protocol):
    """Where a step compares F fields with their signals."""

    def at(self, step: int) -> tuple[Float[Tensor, "*F Q D"], Float[Tensor, "F P C"]]:
        """Coordinates (padded or not) and targets of a step, counted from 0; asked in ascending order."""


@dataclass(frozen=True, eq=False)
class WholeGrid:
    """Every point at every step: a grid all fields share, or each field's own points; padded or not."""

    points: Float[Tensor, "*F Q D"]
    targets: Float[Tensor, "F P C"]

    def at(self, step: int) -> tuple[Float[Tensor, "*F Q D"], Float[Tensor, "F P C"]]:
        """All of them."""
        del step
        return self.points, self.targets


class DrawnPoints:
    """A few points a step, drawn with replacement from each signal's own stream, as many from every stratum.

    The stream is named by (seed, signal id, view), so what a signal sees does not depend on its neighbours.
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
        """The step's own points and targets, different for every field."""
        del step
        index = torch.from_numpy(np.stack([self._draw(rng) for rng in self._streams]))
        points, targets = self._grid.points, self._grid.targets
        drawn = points[index] if points.ndim == 2 else points[self._lanes, index]
        return drawn, targets[self._lanes, index]

    def _draw(self, rng: np.random.Generator) -> Int[np.ndarray, " P"]:
        size = self._grid.targets.shape[1] // self._strata
        return np.concatenate([rng.integers(0, size, self._count) + size * part for part in range(self._strata)])


def step_points(
    signals: Signals, recipe: NeuralDatasetConfig, *, rows: Int[np.ndarray, " F"], view: int
) -> tuple[WholeGrid, Points]:
    """Return the whole grid of some signals, and the points that the steps of a fit look at."""
    targets = torch.from_numpy(np.ascontiguousarray(signals.targets(rows)))
    grid = WholeGrid(padded(torch.from_numpy(signals.points(rows))), targets)
    count = recipe.batch_points or signals.kind.step_points
    if count is None:
        return grid, grid
    ids = signals.ids[rows]
    return grid, DrawnPoints(grid, count=count, seed=recipe.seed, ids=ids, view=view, strata=signals.kind.strata)
