"""One chunk of fields taken up a ladder of step counts, with a snapshot at every rung."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nefstudy.config import OptimizerConfig
from nefstudy.fields.field import unflatten
from nefstudy.fields.loss import LOSSES
from nefstudy.fitting.problem import Points, Problem, WholeGrid
from nefstudy.fitting.step import State, first_not_finite, first_state
from nefstudy.fitting.stop import EVERY, Stop, look

Advance = Callable[[Problem, OptimizerConfig, State, Points, int], State]
GridLosses = Callable[[Problem, Tensor, WholeGrid], Tensor]


@dataclass(frozen=True, eq=False)
class Climb:
    """A chunk at every rung: R rungs, F lanes.

    Attributes:
        rows: parameters; NaN where the lane had diverged by then.
        losses: loss over the whole grid at each rung; NaN likewise.
        diverged_at, stopped_at: as in State.
    """

    rows: Float[Tensor, "R F N"]
    losses: Float[Tensor, "R F"]
    diverged_at: Int[Tensor, " F"]
    stopped_at: Int[Tensor, " F"]

    def first(self, count: int) -> "Climb":
        """The first lanes only."""
        return Climb(self.rows[:, :count], self.losses[:, :count], self.diverged_at[:count], self.stopped_at[:count])


def grid_loss(problem: Problem, rows: Float[Tensor, "F N"], grid: WholeGrid) -> Float[Tensor, " F"]:
    """Loss of each lane over its whole grid."""
    outputs = problem.field.forward(unflatten(problem.field, rows), grid.points)[:, : grid.targets.shape[1]]
    return LOSSES[problem.loss](outputs, grid.targets)[0]


@torch.no_grad()
def climb(
    problem: Problem,
    optimizer: OptimizerConfig,
    *,
    rows: Float[Tensor, "F N"],
    data: Points,
    grid: WholeGrid,
    rungs: Sequence[int],
    advance: Advance,
    grid_losses: GridLosses = grid_loss,
    stop: Stop | None = None,
) -> Climb:
    """The lanes starting at `rows`, at each of the ascending step counts; rung 0 is the start itself."""
    state = first_state(rows)
    snapshots, losses = [], []
    for rung in rungs:
        state = _onward(partial(advance, problem, optimizer), state, data, rung=rung, stop=stop)
        reached = grid_losses(problem, state.rows, grid)
        state = replace(state, diverged_at=first_not_finite(state.diverged_at, reached, rung))
        gone = state.diverged_at >= 0
        snapshots.append(torch.where(gone.unsqueeze(1), torch.nan, state.rows))
        losses.append(torch.where(gone, torch.nan, reached))
    return Climb(torch.stack(snapshots), torch.stack(losses), state.diverged_at, state.stopped_at)


def _onward(
    advance: Callable[[State, Points, int], State], state: State, data: Points, *, rung: int, stop: Stop | None
) -> State:
    """The state at a rung, with looks at the steps where `stop` has them."""
    if stop is None:
        return advance(state, data, rung - state.step)
    while True:
        if state.step % EVERY == 0:
            state = look(state, stop)
        if state.step == rung:
            return state
        if not (state.active & (state.diverged_at < 0)).any():
            return replace(state, step=rung)
        state = advance(state, data, min(rung, state.step + EVERY - state.step % EVERY) - state.step)
