"""Stopping a field once it is good enough, for neural datasets of equal quality."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nefstudy.evaluation.reconstruction import psnr
from nefstudy.fitting.step import State

EVERY = 10  # steps between looks; fixed, so that where a field stops depends on nothing but its recipe


@dataclass(frozen=True, eq=False)
class Stop:
    """When a lane is good enough.

    Attributes:
        decibels: PSNR on [0, 1] values, clipped as an image file would be, over the whole grid.
        outputs: of F lanes at their points.
        originals, mean, std: the signals on [0, 1], and what takes outputs there.
    """

    decibels: float
    outputs: Callable[[Tensor], Tensor]
    originals: Float[np.ndarray, "F P C"]
    mean: Float[np.ndarray, " C"]
    std: Float[np.ndarray, " C"]

    def reached(self, rows: Float[Tensor, "F N"]) -> Tensor:
        """Which lanes are good enough at these rows; never one whose outputs are not finite."""
        found = self.outputs(rows).numpy() * self.std + self.mean
        return torch.from_numpy(psnr(found, self.originals) >= self.decibels)


def look(state: State, stop: Stop) -> State:
    """The state with lanes that are good enough now stopped, and the step noted."""
    fresh = stop.reached(state.rows) & state.active
    return replace(
        state,
        active=state.active & ~fresh,
        stopped_at=torch.where(fresh, state.step, state.stopped_at),
    )
