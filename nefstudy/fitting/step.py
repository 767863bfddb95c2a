"""One step of many fields, as one pure function: what every engine computes, whole or in parts."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nefstudy.fields.field import flatten, loss_gradient, unflatten
from nefstudy.fields.loss import LOSSES
from nefstudy.fields.wave import Waves, separate
from nefstudy.fitting.optimizer import OPTIMIZERS, Moments, Pace
from nefstudy.fitting.problem import Problem

NEVER = -1


@dataclass(frozen=True, eq=False)
class State:
    """Fields on their way, F lanes.

    Attributes:
        active: lanes that still move; a stopped lane keeps its rows.
        diverged_at: steps after which a lane's loss was first not finite, or -1.
        stopped_at: steps after which a lane was good enough and stopped, or -1.
        step: steps taken.
    """

    rows: Float[Tensor, "F N"]
    moments: Moments
    active: Bool[Tensor, " F"]
    diverged_at: Int[Tensor, " F"]
    stopped_at: Int[Tensor, " F"]
    step: int = 0


def first_state(rows: Float[Tensor, "F N"]) -> State:
    """Lanes before their first step."""
    count = len(rows)
    return State(
        rows=rows,
        moments=Moments(torch.zeros_like(rows), torch.zeros_like(rows)),
        active=torch.ones(count, dtype=torch.bool),
        diverged_at=torch.full((count,), NEVER, dtype=torch.int32),
        stopped_at=torch.full((count,), NEVER, dtype=torch.int32),
    )


def take_step(
    problem: Problem,
    state: State,
    points: Float[Tensor, "*F Q D"],
    targets: Float[Tensor, "F P C"],
    now: Pace,
    *,
    waves: Waves = separate,
    factors: Float[Tensor, " N"] | None = None,
) -> State:
    """Lanes after one more step, those whose loss before it is not finite flagged; `step` is left to the caller.

    Args:
        factors: of the rows, where `problem.field` is the unit form of the field that is fitted.
    """
    field = problem.field
    rows = state.rows if factors is None else state.rows * factors
    losses, gradient = loss_gradient(
        field, unflatten(field, rows), points, targets, loss=LOSSES[problem.loss], waves=waves
    )
    grads = flatten(field, gradient) if factors is None else flatten(field, gradient) * factors
    moved, moments = OPTIMIZERS[problem.optimizer](state.rows, grads, state.moments, now)
    moves = state.active.unsqueeze(1)
    if not all(parameter.trained for parameter in field.layout):
        moves = moves & torch.cat([torch.full((p.size,), p.trained, dtype=torch.bool) for p in field.layout])
    return replace(
        state,
        rows=torch.where(moves, moved, state.rows),
        moments=moments,
        diverged_at=first_not_finite(state.diverged_at, losses, now.count),
    )


def first_not_finite(
    diverged_at: Int[Tensor, " F"], losses: Float[Tensor, " F"], count: Int[Tensor, ""] | int
) -> Int[Tensor, " F"]:
    """`diverged_at` with `count` for lanes not flagged before whose loss is not finite now."""
    fresh = (diverged_at == NEVER) & ~torch.isfinite(losses)
    return torch.where(fresh, count, diverged_at)
