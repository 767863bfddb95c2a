"""The native engine, which fits one field after the other, many steps at a time, in its C++ library."""

import ctypes
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from ctypes import byref
from dataclasses import replace
from math import pi

import torch
from jaxtyping import Float
from torch import Tensor

from nefstudy.config import OptimizerConfig
from nefstudy.errors import BadConfig
from nefstudy.fields.field import NeuralField
from nefstudy.fields.mfn import Mfn
from nefstudy.fields.rffnet import RffNet
from nefstudy.fields.siren import Siren
from nefstudy.fitting.cost import step_flops
from nefstudy.fitting.engines.compile_cache import cache_unusable_reason
from nefstudy.fitting.engines.compiler import CannotCompile
from nefstudy.fitting.engines.native.build import FLAGS, library, unavailable_reason
from nefstudy.fitting.engines.windows import Window, grid_window, windows
from nefstudy.fitting.lanes import MIN_LANES
from nefstudy.fitting.optimizer import Moments, decay_factor, step_size_and_correction
from nefstudy.fitting.problem import PointSampler, Problem, WholeGrid
from nefstudy.fitting.step import NEVER, State
from nefstudy.signals.signal import LossName

KINDS: dict[type, int] = {Siren: 0, RffNet: 1, Mfn: 2}
LOSSES: dict[LossName, int] = {"mse": 0, "bce": 1}
MAX_HIDDEN = 256
MAX_DIMENSIONS = 3
MAX_CHANNELS = 4
MAX_LANES = 32
MAX_POINTS = 2**18  # of all lanes together, to limit the memory of targets and drawn points
CALL_FLOPS = 1e10  # operations in one call of the library, below a second, so that a fit can be interrupted


class _Shape(ctypes.Structure):
    """The library's `Shape`."""

    _fields_ = (
        *(
            (name, ctypes.c_int32)
            for name in ("kind", "in_dim", "out_dim", "hidden", "layers", "loss", "adam", "trains")
        ),
        ("scale", ctypes.c_float),
    )


class _Window(ctypes.Structure):
    """The library's `Window`, for one field."""

    _fields_ = (
        ("coords", ctypes.c_void_p),
        ("targets", ctypes.c_void_p),
        ("coords_stride", ctypes.c_int64),
        ("targets_stride", ctypes.c_int64),
        ("points", ctypes.c_int32),
        ("steps", ctypes.c_int32),
    )


def refusal(problem: Problem) -> str | None:
    """Return why this engine fits no such problem, or None if it does."""
    if problem.loss not in LOSSES:
        return f"loss {problem.loss!r} is not covered, only {' and '.join(LOSSES)}"
    return field_refusal(problem.field)


def field_refusal(field: NeuralField) -> str | None:
    """Return why this engine does not fit a field, or None if it does."""
    if type(field) not in KINDS:
        return f"{type(field).__name__} is not covered, only {', '.join(kind.__name__ for kind in KINDS)}"
    limits = (("hidden", MAX_HIDDEN), ("in_dim", MAX_DIMENSIONS), ("out_dim", MAX_CHANNELS))
    for name, most in limits:
        if getattr(field, name) > most:
            return f"{name} = {getattr(field, name)} is more than the {most} that it covers"
    return None


def unsupported_reason(field: NeuralField) -> str | None:
    """Return why this engine cannot fit a field on this machine, or None if it can."""
    return field_refusal(field) or cache_unusable_reason() or unavailable_reason()


def fingerprint_keys() -> dict[str, str]:
    """Return the keys that this engine adds to a fingerprint: its vector instructions and the compiler's flags."""
    try:
        return {"vector": library().nefstudy_vector().decode(), "flags": " ".join(FLAGS)}
    except CannotCompile:
        return {"vector": "none", "flags": " ".join(FLAGS)}


def lanes(field: NeuralField, points: int) -> int:
    """Return the number of fields in a chunk; it affects only the memory of their points."""
    del field
    return max(MIN_LANES, min(MAX_LANES, MAX_POINTS // points))


@torch.no_grad()
def advance(problem: Problem, optimizer: OptimizerConfig, state: State, data: PointSampler, steps: int) -> State:
    """Return the state after `steps` more steps; stopped and diverged lanes stay unchanged."""
    parts = tuple(part.clone().contiguous() for part in (state.rows, state.moments.mean, state.moments.variance))
    diverged_at = state.diverged_at.clone()
    shape, fit, decay = _shape_of(problem), library().nefstudy_fit, decay_factor(optimizer)
    points = data.targets.shape[1] if isinstance(data, WholeGrid) else 1
    most = max(1, min(1000, int(CALL_FLOPS / step_flops(problem.field, points))))
    for window in windows(data, state.step, steps=steps, most=most, device="cpu"):
        each = [step_size_and_correction(optimizer, window.step + i) for i in range(window.steps)]
        scalars = torch.tensor([[*pair, decay] for pair in each], dtype=torch.float32)

        def take(lane: int, window: Window = window, scalars: Tensor = scalars) -> None:
            taken = fit(
                byref(shape), *_rows(parts, lane), byref(_window_of(window, lane)), ctypes.c_void_p(scalars.data_ptr())
            )
            if taken < 0:
                raise MemoryError("out of memory in a native fit")
            if taken < window.steps:
                diverged_at[lane] = window.step + taken

        _for_each(take, (state.active & (diverged_at == NEVER)).nonzero()[:, 0].tolist())
    rows, mean, variance = parts
    return replace(state, rows=rows, moments=Moments(mean, variance), diverged_at=diverged_at, step=state.step + steps)


@torch.no_grad()
def losses(problem: Problem, rows: Float[Tensor, "F N"], grid: WholeGrid) -> Float[Tensor, " F"]:
    """Return the loss of each lane over its whole grid."""
    rows, results = rows.contiguous(), torch.empty(len(rows), 1)
    shape, loss, window = _shape_of(problem), library().nefstudy_loss, grid_window(grid, 0, steps=1, device="cpu")

    def measure(lane: int) -> None:
        if loss(byref(shape), *_rows((rows,), lane), byref(_window_of(window, lane)), *_rows((results,), lane)) != 0:
            raise MemoryError("out of memory in a native fit")

    _for_each(measure, range(len(rows)))
    return results[:, 0]


def _for_each(call: Callable[[int], None], chosen: Iterable[int]) -> None:
    """Call a function for each lane, on as many threads as torch uses; ctypes releases the interpreter's lock."""
    count = torch.get_num_threads()
    if count == 1:
        for lane in chosen:
            call(lane)
        return
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(call, chosen))


def _rows(parts: tuple[Tensor, ...], lane: int) -> list[ctypes.c_void_p]:
    """Return the addresses of one lane's rows."""
    return [ctypes.c_void_p(part.data_ptr() + lane * part.shape[1] * part.element_size()) for part in parts]


def _window_of(window: Window, lane: int) -> _Window:
    """Return the addresses of a lane's points, which the window keeps alive."""
    by_field, by_step, targets_by_step = window.strides
    size = window.targets.element_size()
    per_field = window.targets.shape[-2] * window.targets.shape[-1]
    return _Window(
        window.coords.data_ptr() + lane * by_field * size,
        window.targets.data_ptr() + lane * per_field * size,
        by_step,
        targets_by_step,
        window.count,
        window.steps,
    )


def _shape_of(problem: Problem) -> _Shape:
    """Return the library's description of a problem.

    Raises:
        BadConfig: the problem is not covered.
    """
    reason = refusal(problem)
    if reason is not None:
        raise BadConfig(f"engine 'native': {reason}; use engine='auto'")
    field = problem.field
    layers, scale, trains = 0, 1.0, True
    if isinstance(field, Siren):
        layers, scale = field.layers, field.omega_0
    elif isinstance(field, RffNet):
        layers, scale, trains = field.layers, 2 * pi * field.std, field.train_frequencies
    elif isinstance(field, Mfn):
        layers = field.filters
    assert isinstance(field, Siren | RffNet | Mfn)
    kind, adam = KINDS[type(field)], problem.optimizer == "adamw"
    sizes = (field.in_dim, field.out_dim, field.hidden, layers)
    return _Shape(kind, *sizes, LOSSES[problem.loss], adam, trains, scale)
