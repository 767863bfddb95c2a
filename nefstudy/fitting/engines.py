"""Engines by name, and what sets one apart from another."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from nefstudy.errors import TrialFailed
from nefstudy.fields.field import NeuralField
from nefstudy.fitting import compiled, eager
from nefstudy.fitting.fused import engine as fused
from nefstudy.fitting.ladder import Advance, GridLosses, grid_loss
from nefstudy.fitting.lanes import lanes_in_cache
from nefstudy.fitting.problem import Problem


@dataclass(frozen=True)
class Engine:
    """A way of computing steps.

    Attributes:
        optimizer: its implementation of the update, for the fingerprint; bits differ between them.
        why_not: why it cannot step a field on this machine, or None if it can.
        is_ready: whether a (problem, points, drawn, threads) costs it no more preparation here.
        lanes: fields it steps together for a field and a number of points.
        fixed: whether it must be given exactly that many lanes, whatever chunk is asked for.
        grid_losses: loss of each lane over its whole grid.
        marks: what it adds to a fingerprint.
        on_device: whether steps are taken outside the CPU.
        compiles: whether it may fail to compile its program, so that a step is rehearsed before it is chosen.
        asked_only: why `auto` passes it over where it could be used, or None if it does not.
    """

    name: str
    advance: Advance
    optimizer: str
    why_not: Callable[[NeuralField], str | None]
    is_ready: Callable[[Problem, int, bool, int], bool]
    lanes: Callable[[NeuralField, int], int]
    fixed: bool
    grid_losses: GridLosses = grid_loss
    marks: Callable[[], dict[str, str]] = dict
    on_device: bool = False
    compiles: bool = False
    asked_only: Callable[[], str | None] = lambda: None

    def exhausted(self, lanes: int) -> TrialFailed:
        """Return the error of a fit for which its fewest fields at a time are too many."""
        return TrialFailed(
            f"out of memory with {lanes} fields at a time by engine {self.name}, which is its least; free memory, "
            "or draw fewer points a step",
            cause="oom",
        )


def is_out_of_memory(error: Exception) -> bool:
    """Return whether memory ran out; PyTorch's CPU allocator says so by a RuntimeError."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error)


ENGINES: dict[str, Engine] = {
    "eager": Engine(
        "eager",
        eager.advance,
        "flat-eager",
        why_not=lambda _: None,
        is_ready=lambda *_: True,
        lanes=lanes_in_cache,
        fixed=False,
    ),
    "compiled": Engine(
        "compiled",
        compiled.advance,
        "flat-inductor",
        why_not=compiled.why_not,
        is_ready=compiled.is_ready,
        lanes=lanes_in_cache,
        fixed=True,
        compiles=True,
    ),
    "fused": Engine(
        "fused",
        fused.advance,
        "flat-triton",
        why_not=fused.why_not,
        is_ready=lambda *_: False,
        lanes=fused.lanes,
        fixed=False,
        grid_losses=fused.losses,
        marks=fused.marks,
        on_device=True,
        asked_only=lambda: "Triton's interpreter is for proofs" if fused.interpreted() else None,
    ),
}
