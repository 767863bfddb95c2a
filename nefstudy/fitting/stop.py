"""Early stopping of fields at a target PSNR, for neural datasets of equal quality."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nefstudy.evaluation.reconstruction import psnr
from nefstudy.fitting.step import State

CHECK_INTERVAL = 10  # steps; a constant, so that the step at which a field stops depends only on its recipe


@dataclass(frozen=True, eq=False)
class Stop:
    """The condition under which a lane stops.

    Attributes:
        decibels: PSNR over the whole grid, on values clipped to [0, 1] like those of an image file.
        outputs: returns the outputs of F lanes at their points.
        originals: the signals on [0, 1].
        mean, std: constants that map outputs to [0, 1].
    """

    decibels: float
    outputs: Callable[[Tensor], Tensor]
    originals: Float[np.ndarray, "F P C"]
    mean: Float[np.ndarray, " C"]
    std: Float[np.ndarray, " C"]

    def reached(self, rows: Float[Tensor, "F N"]) -> Tensor:
        """Return which lanes reach the target PSNR with parameters `rows`; a lane with non-finite outputs does not."""
        values = self.outputs(rows).numpy() * self.std + self.mean
        return torch.from_numpy(psnr(values, self.originals) >= self.decibels)


def check_stop(state: State, stop: Stop) -> State:
    """Stop the lanes that have reached the target PSNR, and record the step."""
    newly = stop.reached(state.rows) & state.active
    return replace(
        state,
        active=state.active & ~newly,
        stopped_at=torch.where(newly, state.step, state.stopped_at),
    )
