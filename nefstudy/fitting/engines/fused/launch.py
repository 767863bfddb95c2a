"""Functions that move data to the device and launch the kernel of a problem."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nefstudy.fields.field import NeuralField
from nefstudy.fitting.engines.fused import kernel
from nefstudy.fitting.engines.fused.plan import factor_of, plan_of
from nefstudy.fitting.engines.windows import Window
from nefstudy.fitting.problem import Problem, WholeGrid


def launch_steps(
    problem: Problem,
    state: tuple[Float[Tensor, "F N"], Float[Tensor, "F N"], Float[Tensor, "F N"]],
    window: Window,
    *,
    scalars: Float[Tensor, "W 2"],
    decay: float,
    active: Int[Tensor, " F"],
    diverged_at: Int[Tensor, " F"],
) -> None:
    """Compute a window's steps, updating rows, moments and `diverged_at` in place."""
    arguments, options = constants(problem.field)
    share = 1 / (window.count * problem.field.out_dim)
    kernel.take_steps[(len(active),)](
        *state, _sums(problem.field, state[0]), active, diverged_at, window.coords, window.targets, scalars,
        factor_of(problem.field), share, decay, window.step, window.steps, window.count,
        state[0].shape[1], *window.strides, 0,
        **arguments, LOSS=problem.loss, OPTIMIZER=problem.optimizer, **options,
    )  # fmt: skip


def losses(problem: Problem, rows: Float[Tensor, "F N"], grid: WholeGrid) -> Float[Tensor, " F"]:
    """Return the loss of each row over its whole grid."""
    results = torch.empty_like(rows[:, 0])
    coords, targets = grid.coords, grid.targets
    by_field = coords.shape[-2] * coords.shape[-1] if coords.ndim == 3 else 0
    arguments, options = constants(problem.field)
    kernel.measure[(len(rows),)](
        rows, _sums(problem.field, rows), results, coords, targets,
        factor_of(problem.field), 1 / targets[0].numel(), targets.shape[1], rows.shape[1], by_field, 0,
        **arguments, LOSS=problem.loss, **options,
    )  # fmt: skip
    return results


def constants(field: NeuralField) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the compile-time constants of a field's kernel, and its compiler options."""
    plan = plan_of(field)
    blocks = tuple(tuple(block) for block in plan.blocks)
    arguments = {
        "KIND": plan.kind,
        "BLOCKS": blocks,
        "D": field.in_dim,
        "C": field.out_dim,
        "DEPTH": plan.depth,
        "TILE": plan.tile,
        "WIDE": plan.wide,
    }
    return arguments, {"num_warps": plan.warps, "num_stages": 1, "enable_fp_fusion": True}


def _sums(field: NeuralField, rows: Float[Tensor, "F N"]) -> Float[Tensor, "F N"]:
    """Return zeros for the gradients of wide fields; the kernel of other fields does not use this argument."""
    return torch.zeros_like(rows) if plan_of(field).wide else rows
