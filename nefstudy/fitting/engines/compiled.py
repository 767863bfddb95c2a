"""The fast CPU engine: one step of a fixed number of lanes, compiled by torch's inductor.

Each (unit field, loss, optimizer, lanes, points, threads) is traced and compiled once per process. Inductor's cache on
disk, shared by all processes of a user, reduces that to one C++ compilation per shape and machine. Learning rate,
weight decay, omega_0 and std are inputs of the program, so a search over them compiles only once.

The program determines the number of lanes, not the caller: the same program computes a field in every fit, so its bytes
do not depend on chunks, order or neighboring fields.
"""

import logging
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from jaxtyping import Float
from torch import Tensor

from nefstudy.config import OptimizerConfig
from nefstudy.fields.field import NeuralField, WrittenGradient, flatten
from nefstudy.fields.padding import padded
from nefstudy.fields.sincos import fused_sincos
from nefstudy.fitting.engines.compile_cache import (
    cache_unusable_reason,
    is_temporary,
    reason,
    remove_headers,
    remove_named,
    remove_truncated,
)
from nefstudy.fitting.engines.compiler import CannotCompile, no_compiler_reason
from nefstudy.fitting.engines.product import use_products
from nefstudy.fitting.lanes import lanes_in_cache
from nefstudy.fitting.optimizer import Moments, StepScalars, step_scalars
from nefstudy.fitting.problem import PointSampler, Problem
from nefstudy.fitting.step import State, take_step

OPTIONS: dict[str, Any] = {
    "compile_threads": 1,  # more threads would leave a pool of worker processes behind
    "cpp.enable_floating_point_contract_flag": "fast",  # fused multiply-adds: 20 % faster, with less rounding
    "max_pointwise_cat_inputs": 0,  # store sines and cosines instead of computing them again
}

TRIES = 4  # a fit loads two libraries, that of its products and its program; both and their header may be truncated

Program = Callable[..., tuple[Tensor, ...]]


log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shape:
    """The shape of a compiled program: everything that the program is specialized for; it identifies the program."""

    problem: Problem
    lanes: int
    points: int
    drawn: bool
    threads: int

    @property
    def mark(self) -> Path:
        """The file in inductor's cache directory that records that this machine has compiled this shape."""
        name = sha256(f"{torch.__version__} {self}".encode()).hexdigest()[:20]
        return _cache() / f"nefstudy-{name}"


def shape_of(problem: Problem, *, points: int, drawn: bool, threads: int) -> Shape:
    """Return the shape of the program that computes the steps of a problem's fields."""
    field = problem.field
    unit = field.unit[0] if isinstance(field, WrittenGradient) else field
    assert isinstance(unit, NeuralField)
    return Shape(replace(problem, field=unit), lanes_in_cache(field, points), points, drawn, threads)


def is_ready(problem: Problem, points: int, drawn: bool, threads: int) -> bool:
    """Return whether this machine has compiled the problem's program."""
    try:
        return shape_of(problem, points=points, drawn=drawn, threads=threads).mark.exists()
    except OSError:  # the cache directory cannot be created
        return False


def unsupported_reason(field: NeuralField) -> str | None:
    """Return why this engine cannot fit a field on this machine, or None if it can."""
    if not isinstance(field, WrittenGradient):
        return f"{type(field).__name__} has no written loss_gradient"
    if cache_unusable_reason() is not None:
        return cache_unusable_reason()
    from torch._inductor import config

    compilers = config.cpp.cxx if isinstance(config.cpp.cxx, tuple) else (config.cpp.cxx,)
    return no_compiler_reason([str(name) for name in compilers if name])


@torch.no_grad()
def advance(problem: Problem, optimizer: OptimizerConfig, state: State, data: PointSampler, steps: int) -> State:
    """Return the state after `steps` more steps.

    The state has exactly `lanes_in_cache` lanes, so a single program computes it.
    """
    if steps == 0:
        return state
    factors = _factors(problem.field)
    program: Program | None = None
    before = tensors = None
    for _ in range(steps):
        batch = data.at(state.step)
        if batch is not before:
            before, tensors = batch, (padded(batch[0]).mT.contiguous(), batch[1].mT.contiguous())
        assert tensors is not None
        scalars = step_scalars(optimizer, state.step)
        per_step = scalars.step_size, scalars.bias_correction, scalars.decay, scalars.count
        inputs = (*_tensors_of(state), *per_step, factors, *tensors)
        if program is None:
            points, drawn = tensors[1].shape[-1], tensors[0].ndim == 3
            shape = shape_of(problem, points=points, drawn=drawn, threads=torch.get_num_threads())
            assert shape.lanes == len(state.rows), f"got {len(state.rows)} lanes for a program with {shape.lanes}"
            program = _compile(shape, inputs)
        state = _state_of(program(*inputs), state)
    return state


def _tensors_of(state: State) -> tuple[Tensor, ...]:
    return state.rows, state.moments.mean, state.moments.variance, state.active, state.diverged_at


def _state_of(outputs: tuple[Tensor, ...], before: State) -> State:
    rows, mean, variance, diverged_at = outputs
    return replace(before, rows=rows, moments=Moments(mean, variance), diverged_at=diverged_at, step=before.step + 1)


def _factors(field: NeuralField) -> Float[Tensor, " N"]:
    """Return one flat row of the factors that turn the field's parameters into those of `field.unit`."""
    assert isinstance(field, WrittenGradient)
    factors = field.unit[1]
    parts = {p.name: torch.full((1, *p.shape), factors.get(p.name, 1.0)) for p in field.layout}
    return flatten(field, parts)[0]


_programs: dict[Shape, Program] = {}


def _compile(shape: Shape, inputs: tuple[Tensor, ...]) -> Program:
    """Return the program for a shape, compiling it on first use.

    If truncated files interfere, they are removed and the compilation is retried.

    Raises:
        CannotCompile: this machine cannot compile it, and a later attempt would fail as well.
    """
    tries = 0
    while shape not in _programs:
        tries += 1
        try:
            _programs[shape] = _build(shape, inputs)
        except Exception as error:
            if is_temporary(error):
                raise
            if tries == TRIES or not _remove_broken(error):
                raise CannotCompile(f"compiling fails: {reason(error)}") from error
    return _programs[shape]


def _build(shape: Shape, inputs: tuple[Tensor, ...]) -> Program:
    """Compile and load a program.

    If several processes of a machine need a new shape at once, one compiles and the others wait and load the result.
    Truncated libraries are removed before each program, because loading one can kill the process.
    """
    _log_removed(remove_truncated(_cache()))
    with nullcontext() if shape.mark.exists() else FileLock(f"{shape.mark}.lock"):
        began = time.perf_counter()
        program = _inductor(_step_of(shape.problem), inputs)
        program(*inputs)
        shape.mark.touch()
    log.info("compiled a step of %d %s in %.1f s", shape.lanes, shape.problem.field, time.perf_counter() - began)
    return program


def _cache() -> Path:
    from torch._inductor.runtime.cache_dir_utils import cache_dir

    return Path(cache_dir())


def _remove_broken(error: Exception) -> bool:
    """Remove truncated libraries and the files that an error reports as broken.

    Return whether any were removed.
    """
    try:
        removed = remove_truncated(_cache()) + remove_named(error, _cache()) + remove_headers(error)
    except OSError:
        return False
    _log_removed(removed)
    return bool(removed)


def _log_removed(files: list[Path]) -> None:
    if files:
        log.warning("removed broken files of a killed compiler: %s", ", ".join(map(str, files)))


def _inductor(step: Program, inputs: tuple[Tensor, ...]) -> Program:
    """Compile a function for the shapes of `inputs`, without guards, so that calls to it are cheap.

    Inductor caches whole graphs on disk only under a tracing context, which torch.compile would open.
    """
    from torch._guards import TracingContext, tracing
    from torch._inductor import compile as inductor
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.fx.experimental.proxy_tensor import make_fx
    from torch.fx.experimental.symbolic_shapes import ShapeEnv

    graph = make_fx(step)(*inputs)
    use_products(graph)
    with tracing(TracingContext(FakeTensorMode(shape_env=ShapeEnv(), static_shapes=True))):
        program: Program = inductor(graph, list(inputs), options=OPTIONS)
    return program


def _step_of(problem: Problem) -> Program:
    """Return one step as a function of plain tensors.

    Coordinates and targets are transposed, so that points are last.
    """

    def step(*inputs: Tensor) -> tuple[Tensor, ...]:
        rows, mean, variance, active, diverged_at, step_size, correction, decay, count, factors, coords, targets = (
            inputs
        )
        state = State(rows, Moments(mean, variance), active, diverged_at, stopped_at=diverged_at)
        scalars = StepScalars(step_size, correction, decay, count)
        after = take_step(problem, state, coords.mT, targets.mT, scalars, sincos=fused_sincos, factors=factors)
        return after.rows, after.moments.mean, after.moments.variance, after.diverged_at

    return step
