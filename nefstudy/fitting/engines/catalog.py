"""The engines by name, with their properties."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from nefstudy.errors import TrialFailed
from nefstudy.fields.field import NeuralField
from nefstudy.fitting.engines import compiled, eager
from nefstudy.fitting.engines.fused import engine as fused
from nefstudy.fitting.engines.native import build
from nefstudy.fitting.engines.native import engine as native
from nefstudy.fitting.ladder import Advance, GridLosses, grid_loss
from nefstudy.fitting.lanes import lanes_in_cache
from nefstudy.fitting.problem import Problem


@dataclass(frozen=True)
class Engine:
    """An implementation of the optimizer step.

    Attributes:
        optimizer: its implementation of the update, for the fingerprint; implementations differ in bits.
        unsupported_reason: returns why it cannot fit a field on this machine, or None if it can.
        is_ready: returns whether this machine has compiled the program of (problem, points, drawn, threads).
        lanes: returns the number of fields in a chunk, for a field and a number of points.
        fixed_lanes: whether it accepts only that number of lanes, whatever chunk size is configured.
        grid_losses: returns the loss of each lane over its whole grid.
        fingerprint_keys: returns its additional keys of a fingerprint.
        on_device: whether steps are computed outside the CPU.
        compiles: whether compiling its program may fail, so that one step is tried before it is chosen.
        build_failure: builds what all its fits share on this machine, and returns why this fails, or None.
        refusal: returns why it fits no such problem on any machine, so that configuring it is an error, or None.
        explicit_only_reason: returns why `auto` never chooses it although it is supported, or None if `auto` may.
    """

    name: str
    advance: Advance
    optimizer: str
    unsupported_reason: Callable[[NeuralField], str | None]
    is_ready: Callable[[Problem, int, bool, int], bool]
    lanes: Callable[[NeuralField, int], int]
    fixed_lanes: bool
    grid_losses: GridLosses = grid_loss
    fingerprint_keys: Callable[[], dict[str, str]] = dict
    on_device: bool = False
    compiles: bool = False
    build_failure: Callable[[], str | None] = lambda: None
    refusal: Callable[[Problem], str | None] = lambda _: None
    explicit_only_reason: Callable[[], str | None] = lambda: None

    def out_of_memory(self, lanes: int) -> TrialFailed:
        """Return the error for a fit whose smallest chunk does not fit into memory."""
        return TrialFailed(
            f"out of memory with {lanes} fields at a time, the fewest that engine {self.name} computes; free memory, "
            "or set a smaller batch_points",
            cause="oom",
        )


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an error means that memory ran out; PyTorch's CPU allocator raises a plain RuntimeError."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error)


ENGINES: dict[str, Engine] = {
    "eager": Engine(
        "eager",
        eager.advance,
        "flat-eager",
        unsupported_reason=lambda _: None,
        is_ready=lambda *_: True,
        lanes=lanes_in_cache,
        fixed_lanes=False,
    ),
    "compiled": Engine(
        "compiled",
        compiled.advance,
        "flat-inductor",
        unsupported_reason=compiled.unsupported_reason,
        is_ready=compiled.is_ready,
        lanes=lanes_in_cache,
        fixed_lanes=True,
        compiles=True,
    ),
    "native": Engine(
        "native",
        native.advance,
        "flat-native",
        unsupported_reason=native.unsupported_reason,
        is_ready=lambda *_: build.is_built(),
        lanes=native.lanes,
        fixed_lanes=False,
        grid_losses=native.losses,
        fingerprint_keys=native.fingerprint_keys,
        build_failure=build.build_failure,
        refusal=native.refusal,
    ),
    "fused": Engine(
        "fused",
        fused.advance,
        "flat-triton",
        unsupported_reason=fused.unsupported_reason,
        is_ready=lambda *_: False,
        lanes=fused.lanes,
        fixed_lanes=False,
        grid_losses=fused.losses,
        fingerprint_keys=fused.fingerprint_keys,
        on_device=True,
        explicit_only_reason=lambda: "Triton's interpreter is for tests" if fused.is_interpreted() else None,
    ),
}
