"""The points of consecutive steps, arranged for engines that take many steps at a time."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from nefstudy.fitting.problem import PointSampler, WholeGrid

WINDOW_BYTES = 2**26  # of drawn coordinates that are held together


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
        for first in range(step, step + steps, most):
            yield grid_window(data, first, steps=min(most, step + steps - first), device=device)
        return
    first = step
    while first < step + steps:
        drawn = [data.at(first)]
        size = sum(part.numel() * part.element_size() for part in drawn[0])
        taken = min(most, step + steps - first, max(1, WINDOW_BYTES // size))
        drawn += [data.at(first + i) for i in range(1, taken)]
        yield _together(drawn, first, device)
        first += taken


def grid_window(grid: WholeGrid, step: int, *, steps: int, device: str) -> Window:
    """Return the window of `steps` steps that all use the whole grid."""
    coords, targets = grid.coords.to(device).contiguous(), grid.targets.to(device).contiguous()
    by_field = coords.shape[-2] * coords.shape[-1] if coords.ndim == 3 else 0
    return Window(step, steps, coords, targets, targets.shape[1], (by_field, 0, 0))


def _together(drawn: list[tuple[Tensor, Tensor]], step: int, device: str) -> Window:
    coords, targets = (torch.stack(parts).to(device) for parts in zip(*drawn, strict=True))
    by_field = coords[0, 0].numel() if coords.ndim == 4 else 0
    strides = (by_field, coords[0].numel(), targets[0].numel())
    return Window(step, len(drawn), coords, targets, targets.shape[2], strides)
