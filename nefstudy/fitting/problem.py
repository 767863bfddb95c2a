"""What a fit minimises: a field, a loss, an optimiser, and the points each step looks at."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nefstudy.fields.field import NeuralField
from nefstudy.fields.loss import LossName
from nefstudy.seeds import stream
from nefstudy.signals.signal import SignalCard

LOSS_OF_KIND: dict[str, LossName] = {"image": "mse", "shape": "bce"}


@dataclass(frozen=True)
class Problem:
    """The step that every field of a fit takes; what an engine keeps a compiled program for."""

    field: NeuralField
    loss: LossName
    optimiser: Literal["adamw", "sgd"]


def loss_of(card: SignalCard) -> LossName:
    """Images: squared error of standardised values; shapes: cross-entropy of occupancies."""
    return LOSS_OF_KIND[card.kind]


@runtime_checkable
class Points(Protocol):
    """Where a step compares F fields with their signals."""

    def at(self, step: int) -> tuple[Float[Tensor, "*F P D"], Float[Tensor, "F P C"]]:
        """Coordinates and targets of a step, counted from 0; asked in ascending order."""


@dataclass(frozen=True, eq=False)
class WholeGrid:
    """Every point at every step."""

    points: Float[Tensor, "P D"]
    targets: Float[Tensor, "F P C"]

    def at(self, step: int) -> tuple[Float[Tensor, "P D"], Float[Tensor, "F P C"]]:
        """The whole grid."""
        del step
        return self.points, self.targets


class DrawnPoints:
    """A few points a step, drawn with replacement from each signal's own stream.

    The stream is named by (seed, signal id, view), so what a signal sees does not depend on its neighbours.
    """

    def __init__(self, grid: WholeGrid, *, count: int, seed: int, ids: Sequence[int] | np.ndarray, view: int) -> None:
        self._grid = grid
        self._count = count
        self._streams = [stream(seed, "points", int(i), view) for i in ids]
        self._lanes = torch.arange(len(self._streams)).unsqueeze(1)

    def at(self, step: int) -> tuple[Float[Tensor, "F P D"], Float[Tensor, "F P C"]]:
        """The step's own points and targets, different for every field."""
        del step
        size = len(self._grid.points)
        index = torch.from_numpy(np.stack([rng.integers(0, size, self._count) for rng in self._streams]))
        return self._grid.points[index], self._grid.targets[self._lanes, index]
