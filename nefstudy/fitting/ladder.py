"""One chunk of fields taken up a ladder of step counts, with a snapshot at every rung."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nefstudy.config import OptimiserConfig
from nefstudy.fields.field import unflatten
from nefstudy.fields.loss import LOSSES
from nefstudy.fitting.problem import Points, Problem, WholeGrid
from nefstudy.fitting.step import State, first_not_finite, first_state

Advance = Callable[[Problem, OptimiserConfig, State, Points, int], State]


@dataclass(frozen=True, eq=False)
class Climb:
    """A chunk at every rung: R rungs, F lanes.

    Attributes:
        rows: parameters; NaN where the lane had diverged by then.
        losses: loss over the whole grid at each rung; NaN likewise.
    """

    rows: Float[Tensor, "R F N"]
    losses: Float[Tensor, "R F"]
    diverged_at: Int[Tensor, " F"]


@torch.no_grad()
def climb(
    problem: Problem,
    optimiser: OptimiserConfig,
    *,
    rows: Float[Tensor, "F N"],
    data: Points,
    grid: WholeGrid,
    rungs: Sequence[int],
    advance: Advance,
) -> Climb:
    """The lanes starting at `rows`, at each of the ascending step counts; rung 0 is the start itself."""
    state = first_state(rows)
    snapshots, losses = [], []
    for rung in rungs:
        state = advance(problem, optimiser, state, data, rung - state.step)
        reached = grid_loss(problem, state.rows, grid)
        state = replace(state, diverged_at=first_not_finite(state.diverged_at, reached, rung))
        gone = state.diverged_at >= 0
        snapshots.append(torch.where(gone.unsqueeze(1), torch.nan, state.rows))
        losses.append(torch.where(gone, torch.nan, reached))
    return Climb(torch.stack(snapshots), torch.stack(losses), state.diverged_at)


def grid_loss(problem: Problem, rows: Float[Tensor, "F N"], grid: WholeGrid) -> Float[Tensor, " F"]:
    """Loss of each lane over its whole grid."""
    outputs = problem.field.forward(unflatten(problem.field, rows), grid.points)
    return LOSSES[problem.loss](outputs, grid.targets)[0]
