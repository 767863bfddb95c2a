"""Functions that move data to the device and launch the kernel of a problem."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nefstudy.fields.field import NeuralField
from nefstudy.fitting.engines.fused import kernel
from nefstudy.fitting.engines.fused.plan import factor_of, plan_of
from nefstudy.fitting.problem import PointSampler, Problem, WholeGrid

WINDOW_BYTES = 2**26  # of drawn coordinates that are sent together


@dataclass(frozen=True, eq=False)
class Window:
    """Coordinates and targets on a device for W consecutive steps: one set per step, or one set that all steps share.

    Attributes:
        step: steps taken before the window.
        steps: number of steps in the window.
        count: points per field and step.
        strides: of the coordinates between fields and between steps, of the targets between steps.
    """

    step: int
    steps: int
    coords: Float[Tensor, "..."]
    targets: Float[Tensor, "..."]
    count: int
    strides: tuple[int, int, int]


def windows(data: PointSampler, step: int, *, steps: int, most: int, device: str) -> Iterator[Window]:
    """Yield windows of at most `most` steps that together cover `steps` steps, starting at `step`."""
    if isinstance(data, WholeGrid):
        coords, targets = data.coords.to(device).contiguous(), data.targets.to(device).contiguous()
        by_field = coords.shape[-2] * coords.shape[-1] if coords.ndim == 3 else 0
        for first in range(step, step + steps, most):
            taken = min(most, step + steps - first)
            yield Window(first, taken, coords, targets, targets.shape[1], (by_field, 0, 0))
        return
    first = step
    while first < step + steps:
        drawn = [data.at(first)]
        size = sum(part.numel() * part.element_size() for part in drawn[0])
        taken = min(most, step + steps - first, max(1, WINDOW_BYTES // size))
        drawn += [data.at(first + i) for i in range(1, taken)]
        yield _together(drawn, first, device)
        first += taken


def _together(drawn: list[tuple[Tensor, Tensor]], step: int, device: str) -> Window:
    coords, targets = (torch.stack(parts).to(device) for parts in zip(*drawn, strict=True))
    by_field = coords[0, 0].numel() if coords.ndim == 4 else 0
    strides = (by_field, coords[0].numel(), targets[0].numel())
    return Window(step, len(drawn), coords, targets, targets.shape[2], strides)


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
        *state, active, diverged_at, window.coords, window.targets, scalars,
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
        rows, results, coords, targets, factor_of(problem.field), 1 / targets[0].numel(), targets.shape[1],
        rows.shape[1], by_field, 0, **arguments, LOSS=problem.loss, **options,
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
    }
    return arguments, {"num_warps": plan.warps, "num_stages": 1, "enable_fp_fusion": True}
