"""Launches of a problem's kernel on points that lie on its device."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nefstudy.fields.field import NeuralField
from nefstudy.fitting.fused import kernel
from nefstudy.fitting.fused.plan import factor_of, plan_of
from nefstudy.fitting.problem import Points, Problem, WholeGrid

WINDOW_BYTES = 2**26  # of drawn points that are sent together


@dataclass(frozen=True, eq=False)
class Window:
    """Points and targets of consecutive steps on a device: of W steps, or the same ones for all.

    Attributes:
        step: steps taken before the first.
        steps: how many.
        strides: of the points from field to field and from step to step, of the targets from step to step.
    """

    step: int
    steps: int
    points: Float[Tensor, "..."]
    targets: Float[Tensor, "..."]
    count: int
    strides: tuple[int, int, int]


def windows(data: Points, step: int, *, steps: int, most: int, device: str) -> Iterator[Window]:
    """The points of so many steps from `step` on, at most `most` steps together."""
    if isinstance(data, WholeGrid):
        points, targets = data.points.to(device).contiguous(), data.targets.to(device).contiguous()
        by_field = points.shape[-2] * points.shape[-1] if points.ndim == 3 else 0
        for first in range(step, step + steps, most):
            taken = min(most, step + steps - first)
            yield Window(first, taken, points, targets, targets.shape[1], (by_field, 0, 0))
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
    points, targets = (torch.stack(parts).to(device) for parts in zip(*drawn, strict=True))
    by_field = points[0, 0].numel() if points.ndim == 4 else 0
    strides = (by_field, points[0].numel(), targets[0].numel())
    return Window(step, len(drawn), points, targets, targets.shape[2], strides)


def take(
    problem: Problem,
    state: tuple[Float[Tensor, "F N"], Float[Tensor, "F N"], Float[Tensor, "F N"]],
    window: Window,
    *,
    paces: Float[Tensor, "W 2"],
    kept: float,
    alive: Int[Tensor, " F"],
    gone: Int[Tensor, " F"],
) -> None:
    """Rows and moments, changed in place, after a window's steps; `gone` gets the step at which a lane diverged."""
    arguments, options = constants(problem.field)
    share = 1 / (window.count * problem.field.out_dim)
    kernel.climb[(len(alive),)](
        *state, alive, gone, window.points, window.targets, paces,
        factor_of(problem.field), share, kept, window.step, window.steps, window.count,
        state[0].shape[1], *window.strides, 0,
        **arguments, LOSS=problem.loss, OPTIMIZER=problem.optimizer, **options,
    )  # fmt: skip


def losses(problem: Problem, rows: Float[Tensor, "F N"], grid: WholeGrid) -> Float[Tensor, " F"]:
    """Loss of each of the rows over its whole grid."""
    found = torch.empty_like(rows[:, 0])
    points, targets = grid.points, grid.targets
    by_field = points.shape[-2] * points.shape[-1] if points.ndim == 3 else 0
    arguments, options = constants(problem.field)
    kernel.measure[(len(rows),)](
        rows, found, points, targets, factor_of(problem.field), 1 / targets[0].numel(), targets.shape[1],
        rows.shape[1], by_field, 0, **arguments, LOSS=problem.loss, **options,
    )  # fmt: skip
    return found


def constants(field: NeuralField) -> tuple[dict[str, Any], dict[str, Any]]:
    """(what a field's kernel is made for, how it is to be compiled)."""
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
