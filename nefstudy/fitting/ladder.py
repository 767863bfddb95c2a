"""The fit of one chunk of fields, with a snapshot at every rung of its ladder."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nefstudy.config import OptimizerConfig
from nefstudy.fields.field import unflatten
from nefstudy.fields.loss import LOSSES
from nefstudy.fitting.problem import PointSampler, Problem, WholeGrid
from nefstudy.fitting.step import State, first_not_finite, initial_state
from nefstudy.fitting.stop import CHECK_INTERVAL, Stop, check_stop

Advance = Callable[[Problem, OptimizerConfig, State, PointSampler, int], State]
GridLosses = Callable[[Problem, Tensor, WholeGrid], Tensor]


@dataclass(frozen=True, eq=False)
class LadderFit:
    """A fitted chunk of F lanes at R rungs.

    Attributes:
        rows: parameters; NaN where the lane had diverged by that rung.
        losses: loss over the whole grid; NaN where the rows are.
        diverged_at, stopped_at: as in `State`.
    """

    rows: Float[Tensor, "R F N"]
    losses: Float[Tensor, "R F"]
    diverged_at: Int[Tensor, " F"]
    stopped_at: Int[Tensor, " F"]

    def first(self, count: int) -> "LadderFit":
        """Return the first `count` lanes."""
        return LadderFit(
            self.rows[:, :count], self.losses[:, :count], self.diverged_at[:count], self.stopped_at[:count]
        )


def grid_loss(problem: Problem, rows: Float[Tensor, "F N"], grid: WholeGrid) -> Float[Tensor, " F"]:
    """Return the loss of each lane over its whole grid."""
    outputs = problem.field.forward(unflatten(problem.field, rows), grid.coords)[:, : grid.targets.shape[1]]
    return LOSSES[problem.loss](outputs, grid.targets)[0]


@torch.no_grad()
def fit_ladder(
    problem: Problem,
    optimizer: OptimizerConfig,
    *,
    rows: Float[Tensor, "F N"],
    data: PointSampler,
    grid: WholeGrid,
    rungs: Sequence[int],
    advance: Advance,
    grid_losses: GridLosses = grid_loss,
    stop: Stop | None = None,
) -> LadderFit:
    """Fit lanes from the initial parameters `rows`, and return the lanes at every rung; rung 0 is the init."""
    state = initial_state(rows)
    snapshots, losses = [], []
    for rung in rungs:
        state = _advance_to(partial(advance, problem, optimizer), state, data, rung=rung, stop=stop)
        rung_losses = grid_losses(problem, state.rows, grid)
        state = replace(state, diverged_at=first_not_finite(state.diverged_at, rung_losses, rung))
        diverged = state.diverged_at >= 0
        snapshots.append(torch.where(diverged.unsqueeze(1), torch.nan, state.rows))
        losses.append(torch.where(diverged, torch.nan, rung_losses))
    return LadderFit(torch.stack(snapshots), torch.stack(losses), state.diverged_at, state.stopped_at)


def _advance_to(
    advance: Callable[[State, PointSampler, int], State],
    state: State,
    data: PointSampler,
    *,
    rung: int,
    stop: Stop | None,
) -> State:
    """Return the state at a rung, checking `stop`, if given, every CHECK_INTERVAL steps."""
    if stop is None:
        return advance(state, data, rung - state.step)
    while True:
        if state.step % CHECK_INTERVAL == 0:
            state = check_stop(state, stop)
        if state.step == rung:
            return state
        if not (state.active & (state.diverged_at < 0)).any():
            return replace(state, step=rung)
        state = advance(state, data, min(rung, state.step + CHECK_INTERVAL - state.step % CHECK_INTERVAL) - state.step)
