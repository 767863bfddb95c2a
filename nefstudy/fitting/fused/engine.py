"""The fused engine: fields taken up to a rung in few launches, each field by a kernel program of its own."""

from dataclasses import replace
from importlib.util import find_spec

import torch
from jaxtyping import Float
from torch import Tensor

from nefstudy.config import OptimizerConfig
from nefstudy.fields.field import NeuralField
from nefstudy.fitting.fused.plan import PRECISION, misfit
from nefstudy.fitting.lanes import LEAST
from nefstudy.fitting.optimizer import Moments, share_kept, size_and_spread
from nefstudy.fitting.problem import Points, Problem, WholeGrid
from nefstudy.fitting.step import NEVER, State

STEPS = 1000  # of one launch at most, about a second, so that a fit can be interrupted
MOST_LANES = 4096  # fill 132 processors, 3 fields on each at a time, ten times over
LANE_POINTS = 2**22  # of all lanes together, so that targets fill no memory
OLDEST = (8, 0)  # compute capability that has tf32 products


def why_not(field: NeuralField) -> str | None:
    """Why this engine cannot step a field on this machine, or None if it can."""
    if find_spec("triton") is None:
        return "triton is not installed (pip install 'nefstudy[gpu]')"
    if not interpreted():
        if not torch.cuda.is_available():
            return "there is no CUDA device (TRITON_INTERPRET=1 runs the kernel on a CPU, for proofs only)"
        if torch.cuda.get_device_capability() < OLDEST:
            return "the CUDA device is older than compute capability 8.0 and has no tf32 products"
    return misfit(field)


def interpreted() -> bool:
    """Whether Triton runs kernels in its interpreter, on the CPU."""
    from triton import knobs

    return bool(knobs.runtime.interpret)


def lanes(field: NeuralField, points: int) -> int:
    """Fields of a launch: enough to keep every processor busy, as far as their targets do not fill memory."""
    del field
    if interpreted():
        return LEAST
    return max(LEAST, min(MOST_LANES, LANE_POINTS // points))


def marks() -> dict[str, str]:
    """What this engine adds to a fingerprint: the device's class, how products are computed, and by which Triton."""
    import triton

    device = "triton-interpreter" if interpreted() else "cuda sm_{}{}".format(*torch.cuda.get_device_capability())
    return {"device": device, "products": PRECISION, "triton": triton.__version__}


@torch.no_grad()
def advance(problem: Problem, optimizer: OptimizerConfig, state: State, data: Points, steps: int) -> State:
    """Lanes after `steps` more steps; those stopped or diverged stay as they are."""
    from nefstudy.fitting.fused import launch

    device = _device()
    before = (state.rows, state.moments.mean, state.moments.variance)
    rows, mean, variance = (tensor.to(device, copy=True).contiguous() for tensor in before)
    alive = (state.active & (state.diverged_at == NEVER)).to(device, torch.int32)
    gone = torch.full_like(alive, NEVER)
    for window in launch.windows(data, state.step, steps=steps, most=STEPS, device=device):
        paces = [size_and_spread(optimizer, window.step + i) for i in range(window.steps)]
        launch.take(
            problem,
            (rows, mean, variance),
            window,
            paces=torch.tensor(paces, device=device),
            kept=share_kept(optimizer),
            alive=alive,
            gone=gone,
        )
        alive = alive * (gone == NEVER)
    home = state.rows.device
    return replace(
        state,
        rows=rows.to(home),
        moments=Moments(mean.to(home), variance.to(home)),
        diverged_at=torch.where(state.diverged_at == NEVER, gone.to(home), state.diverged_at),
        step=state.step + steps,
    )


@torch.no_grad()
def losses(problem: Problem, rows: Float[Tensor, "F N"], grid: WholeGrid) -> Float[Tensor, " F"]:
    """Loss of each lane over its whole grid, by a program of its own, so that no lane reaches another's."""
    from nefstudy.fitting.fused import launch

    device = _device()
    there = WholeGrid(grid.points.to(device).contiguous(), grid.targets.to(device).contiguous())
    return launch.losses(problem, rows.to(device).contiguous(), there).to(rows.device)


def _device() -> str:
    return "cpu" if interpreted() else "cuda"
