"""One optimizer step of many fields as a pure function, which every engine computes."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nefstudy.fields.field import flatten, loss_gradient, unflatten
from nefstudy.fields.loss import LOSSES
from nefstudy.fields.sincos import Sincos, torch_sincos
from nefstudy.fitting.optimizer import OPTIMIZERS, Moments, StepScalars
from nefstudy.fitting.problem import Problem

NEVER = -1


@dataclass(frozen=True, eq=False)
class State:
    """The state of a fit of F lanes.

    Attributes:
        active: lanes that are still updated; a stopped lane keeps its rows.
        diverged_at: step count at which a lane's loss was first not finite, or -1.
        stopped_at: step count at which a lane was good enough and stopped, or -1.
        step: steps taken.
    """

    rows: Float[Tensor, "F N"]
    moments: Moments
    active: Bool[Tensor, " F"]
    diverged_at: Int[Tensor, " F"]
    stopped_at: Int[Tensor, " F"]
    step: int = 0


def initial_state(rows: Float[Tensor, "F N"]) -> State:
    """Return the state before the first step."""
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
    coords: Float[Tensor, "*F Q D"],
    targets: Float[Tensor, "F P C"],
    scalars: StepScalars,
    *,
    sincos: Sincos = torch_sincos,
    factors: Float[Tensor, " N"] | None = None,
) -> State:
    """Return the state after one more step, with newly diverged lanes marked.

    A lane has diverged if its loss before the step is not finite. The caller increments `step`.

    Args:
        factors: factors of the rows if `problem.field` is the unit form of the fitted field.
    """
    field = problem.field
    rows = state.rows if factors is None else state.rows * factors
    losses, gradient = loss_gradient(
        field, unflatten(field, rows), coords, targets, loss=LOSSES[problem.loss], sincos=sincos
    )
    grads = flatten(field, gradient) if factors is None else flatten(field, gradient) * factors
    updated, moments = OPTIMIZERS[problem.optimizer](state.rows, grads, state.moments, scalars)
    trained = state.active.unsqueeze(1)
    if not all(parameter.trained for parameter in field.layout):
        trained = trained & torch.cat([torch.full((p.size,), p.trained, dtype=torch.bool) for p in field.layout])
    return replace(
        state,
        rows=torch.where(trained, updated, state.rows),
        moments=moments,
        diverged_at=first_not_finite(state.diverged_at, losses, scalars.count),
    )


def first_not_finite(
    diverged_at: Int[Tensor, " F"], losses: Float[Tensor, " F"], count: Int[Tensor, ""] | int
) -> Int[Tensor, " F"]:
    """Return `diverged_at`, set to `count` for lanes whose loss is not finite for the first time."""
    newly = (diverged_at == NEVER) & ~torch.isfinite(losses)
    return torch.where(newly, count, diverged_at)
