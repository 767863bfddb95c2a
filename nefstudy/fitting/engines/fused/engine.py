"""The fused engine, which fits fields up to a rung in a few launches, with one kernel program per field."""

from dataclasses import replace
from importlib.util import find_spec

import torch
from jaxtyping import Float
from torch import Tensor

from nefstudy.config import OptimizerConfig
from nefstudy.fields.field import NeuralField
from nefstudy.fitting.engines.fused.plan import PRECISION, no_kernel_reason
from nefstudy.fitting.engines.windows import windows
from nefstudy.fitting.lanes import MIN_LANES
from nefstudy.fitting.optimizer import Moments, decay_factor, step_size_and_correction
from nefstudy.fitting.problem import PointSampler, Problem, WholeGrid
from nefstudy.fitting.step import NEVER, State

MAX_STEPS = 1000  # per launch, about a second, so that a fit can be interrupted
MAX_LANES = 4096  # ten times the 396 fields that 132 processors compute at a time
MAX_POINTS = 2**22  # of all lanes together, to limit the memory of targets
MIN_CAPABILITY = (8, 0)  # the first compute capability with tf32 products


def unsupported_reason(field: NeuralField) -> str | None:
    """Return why this engine cannot fit a field on this machine, or None if it can."""
    if find_spec("triton") is None:
        return "triton is not installed (pip install 'nefstudy[gpu]')"
    if not is_interpreted():
        if not torch.cuda.is_available():
            return "there is no CUDA device (TRITON_INTERPRET=1 runs the kernel on a CPU, for tests only)"
        if torch.cuda.get_device_capability() < MIN_CAPABILITY:
            return "the CUDA device is older than compute capability 8.0 and has no tf32 products"
    return no_kernel_reason(field)


def is_interpreted() -> bool:
    """Return whether Triton runs kernels in its interpreter, on the CPU."""
    from triton import knobs

    return bool(knobs.runtime.interpret)


def lanes(field: NeuralField, points: int) -> int:
    """Return the number of fields per launch: enough to keep every processor busy, limited by the targets' memory."""
    del field
    if is_interpreted():
        return MIN_LANES
    return max(MIN_LANES, min(MAX_LANES, MAX_POINTS // points))


def fingerprint_keys() -> dict[str, str]:
    """Return the keys that this engine adds to a fingerprint: device class, product precision and Triton version."""
    import triton

    device = "triton-interpreter" if is_interpreted() else "cuda sm_{}{}".format(*torch.cuda.get_device_capability())
    return {"device": device, "products": PRECISION, "triton": triton.__version__}


@torch.no_grad()
def advance(problem: Problem, optimizer: OptimizerConfig, state: State, data: PointSampler, steps: int) -> State:
    """Return the state after `steps` more steps; stopped and diverged lanes stay unchanged."""
    from nefstudy.fitting.engines.fused import launch

    device = _device()
    before = (state.rows, state.moments.mean, state.moments.variance)
    rows, mean, variance = (tensor.to(device, copy=True).contiguous() for tensor in before)
    active = (state.active & (state.diverged_at == NEVER)).to(device, torch.int32)
    diverged_at = torch.full_like(active, NEVER)
    for window in windows(data, state.step, steps=steps, most=MAX_STEPS, device=device):
        scalars = [step_size_and_correction(optimizer, window.step + i) for i in range(window.steps)]
        launch.launch_steps(
            problem,
            (rows, mean, variance),
            window,
            scalars=torch.tensor(scalars, device=device),
            decay=decay_factor(optimizer),
            active=active,
            diverged_at=diverged_at,
        )
        active = active * (diverged_at == NEVER)
    home = state.rows.device
    return replace(
        state,
        rows=rows.to(home),
        moments=Moments(mean.to(home), variance.to(home)),
        diverged_at=torch.where(state.diverged_at == NEVER, diverged_at.to(home), state.diverged_at),
        step=state.step + steps,
    )


@torch.no_grad()
def losses(problem: Problem, rows: Float[Tensor, "F N"], grid: WholeGrid) -> Float[Tensor, " F"]:
    """Return the loss of each lane over its whole grid; one program per lane keeps lanes independent."""
    from nefstudy.fitting.engines.fused import launch

    device = _device()
    device_grid = WholeGrid(grid.coords.to(device).contiguous(), grid.targets.to(device).contiguous())
    return launch.losses(problem, rows.to(device).contiguous(), device_grid).to(rows.device)


def _device() -> str:
    return "cpu" if is_interpreted() else "cuda"
