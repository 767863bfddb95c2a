"""One step of many fields, as one pure function: what every engine computes, whole or in parts."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nefstudy.fields.field import flatten, loss_gradient, unflatten
from nefstudy.fields.loss import LOSSES
from nefstudy.fitting.optimiser import OPTIMISERS, Moments
from nefstudy.fitting.problem import Problem

NOT_DIVERGED = -1


@dataclass(frozen=True, eq=False)
class State:
    """Fields on their way, F lanes.

    Attributes:
        active: lanes that still move; a stopped lane keeps its rows.
        diverged_at: steps after which a lane's loss was first not finite, or -1.
        step: steps taken.
    """

    rows: Float[Tensor, "F N"]
    moments: Moments
    active: Bool[Tensor, " F"]
    diverged_at: Int[Tensor, " F"]
    step: int = 0


def first_state(rows: Float[Tensor, "F N"]) -> State:
    """Lanes before their first step."""
    count = len(rows)
    return State(
        rows=rows,
        moments=Moments(torch.zeros_like(rows), torch.zeros_like(rows)),
        active=torch.ones(count, dtype=torch.bool),
        diverged_at=torch.full((count,), NOT_DIVERGED, dtype=torch.int32),
    )


def take_step(
    problem: Problem,
    state: State,
    points: Float[Tensor, "*F P D"],
    targets: Float[Tensor, "F P C"],
    scalars: Float[Tensor, "2"],
) -> tuple[State, Float[Tensor, " F"]]:
    """Lanes after one more step, and the loss each had before it."""
    losses, grads = loss_gradient(
        problem.field, unflatten(problem.field, state.rows), points, targets, loss=LOSSES[problem.loss]
    )
    update = OPTIMISERS[problem.optimiser.name]
    rows, moments = update(problem.optimiser, state.rows, flatten(problem.field, grads), state.moments, scalars)
    moves = state.active.unsqueeze(1)
    if not all(parameter.trained for parameter in problem.field.layout):
        trained = [torch.full((p.size,), p.trained, dtype=torch.bool) for p in problem.field.layout]
        moves = moves & torch.cat(trained)
    return replace(state, rows=torch.where(moves, rows, state.rows), moments=moments), losses


def mark(state: State, losses: Float[Tensor, " F"]) -> State:
    """The lanes whose loss is not finite, flagged with the state's step count unless flagged before."""
    fresh = (state.diverged_at == NOT_DIVERGED) & ~torch.isfinite(losses)
    return replace(state, diverged_at=torch.where(fresh, state.step, state.diverged_at))
