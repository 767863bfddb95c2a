"""The fast engine on a CPU: one step of a fixed number of lanes, compiled by torch's inductor.

Each (unit field, loss, optimizer, lanes, points, threads) is traced and compiled once per process; inductor's
cache on disk, shared by all processes of a user, makes that one C++ compilation per shape and machine. Learning
rate, weight decay, omega_0 and std are inputs of the program, so a search over them compiles nothing anew.

Lanes are the program's, never the caller's: a field is always computed by the same program, so that chunks,
order and neighbours cannot reach its bytes.
"""

import logging
import shutil
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cache
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
from nefstudy.fields.wave import joint
from nefstudy.fitting.compile_cache import passes, reason, remove_named, remove_torn, why_no_place
from nefstudy.fitting.lanes import lanes_in_cache
from nefstudy.fitting.optimizer import Moments, Pace, pace
from nefstudy.fitting.problem import Points, Problem
from nefstudy.fitting.product import use_products
from nefstudy.fitting.step import State, take_step

OPTIONS: dict[str, Any] = {
    "compile_threads": 1,  # more would leave a pool of worker processes behind
    "cpp.enable_floating_point_contract_flag": "fast",  # fused multiply-adds; a fifth quicker, and rounded less
    "max_pointwise_cat_inputs": 0,  # write sines and cosines down once, instead of computing them again
}

TRIES = 3  # a fit loads two libraries, that of its products and its own; both may be torn

Program = Callable[..., tuple[Tensor, ...]]


class CannotCompile(Exception):
    """This machine cannot compile a program; says why in one line."""


log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shape:
    """What a compiled program is made for."""

    problem: Problem
    lanes: int
    points: int
    drawn: bool
    threads: int

    @property
    def mark(self) -> Path:
        """A file in inductor's cache directory that says this shape has been compiled on this machine."""
        name = sha256(f"{torch.__version__} {self}".encode()).hexdigest()[:20]
        return _cache() / f"nefstudy-{name}"


def shape_of(problem: Problem, *, points: int, drawn: bool, threads: int) -> Shape:
    """The shape of the program that steps a problem's fields."""
    field = problem.field
    unit = field.unit[0] if isinstance(field, WrittenGradient) else field
    assert isinstance(unit, NeuralField)
    return Shape(replace(problem, field=unit), lanes_in_cache(field, points), points, drawn, threads)


def is_ready(problem: Problem, points: int, drawn: bool, threads: int) -> bool:
    """Whether this machine has compiled the problem's program before."""
    try:
        return shape_of(problem, points=points, drawn=drawn, threads=threads).mark.exists()
    except OSError:  # no place for the cache
        return False


def why_not(field: NeuralField) -> str | None:
    """Why this engine cannot step a field on this machine, or None if it can."""
    if not isinstance(field, WrittenGradient):
        return f"{type(field).__name__} has no written loss_gradient"
    if why_no_place() is not None:
        return why_no_place()
    from torch._inductor import config

    wanted = config.cpp.cxx if isinstance(config.cpp.cxx, tuple) else (config.cpp.cxx,)
    names = [str(name) for name in wanted if name]
    if any(shutil.which(name) for name in names):
        return None
    return f"there is no C++ compiler {' or '.join(names)} (install g++, or set CXX)"


@torch.no_grad()
def advance(problem: Problem, optimizer: OptimizerConfig, state: State, data: Points, steps: int) -> State:
    """Lanes after `steps` more steps; exactly `lanes_in_cache`, so that one program serves all."""
    if steps == 0:
        return state
    factors = _factors(problem.field)
    program: Program | None = None
    before = tensors = None
    for _ in range(steps):
        found = data.at(state.step)
        if found is not before:
            before, tensors = found, (padded(found[0]).mT.contiguous(), found[1].mT.contiguous())
        assert tensors is not None
        now = pace(optimizer, state.step)
        inputs = (*_tensors_of(state), now.size, now.spread, now.kept, now.count, factors, *tensors)
        if program is None:
            points, drawn = tensors[1].shape[-1], tensors[0].ndim == 3
            shape = shape_of(problem, points=points, drawn=drawn, threads=torch.get_num_threads())
            assert shape.lanes == len(state.rows), f"{len(state.rows)} lanes given to a program of {shape.lanes}"
            program = _compile(shape, inputs)
        state = _state_of(program(*inputs), state)
    return state


def _tensors_of(state: State) -> tuple[Tensor, ...]:
    return state.rows, state.moments.mean, state.moments.variance, state.active, state.diverged_at


def _state_of(outputs: tuple[Tensor, ...], before: State) -> State:
    rows, mean, variance, diverged_at = outputs
    return replace(before, rows=rows, moments=Moments(mean, variance), diverged_at=diverged_at, step=before.step + 1)


def _factors(field: NeuralField) -> Float[Tensor, " N"]:
    """The flat row of factors of a field's unit form."""
    assert isinstance(field, WrittenGradient)
    factors = field.unit[1]
    parts = {p.name: torch.full((1, *p.shape), factors.get(p.name, 1.0)) for p in field.layout}
    return flatten(field, parts)[0]


_programs: dict[Shape, Program] = {}


def _compile(shape: Shape, inputs: tuple[Tensor, ...]) -> Program:
    """The program of a shape, compiled on first use; again where torn libraries were in the way.

    Raises:
        CannotCompile: this machine cannot compile it, and no later attempt would.
    """
    tries = 0
    while shape not in _programs:
        tries += 1
        try:
            _programs[shape] = _build(shape, inputs)
        except Exception as error:
            if passes(error):
                raise
            if tries == TRIES or not _clear(error):
                raise CannotCompile(f"compiling fails: {reason(error)}") from error
    return _programs[shape]


def _build(shape: Shape, inputs: tuple[Tensor, ...]) -> Program:
    """Compile and load a program.

    Of the processes of a machine that want a new shape at once, one compiles and the others wait to load that.
    """
    _clear_once()
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


@cache
def _clear_once() -> None:
    """Remove torn libraries before this process loads its first one: some kill the process that loads them."""
    _say_removed(remove_torn(_cache()))


def _clear(error: Exception) -> bool:
    """Remove what is torn and what an error of loading names; return whether anything was."""
    try:
        removed = remove_torn(_cache()) + remove_named(error, _cache())
    except OSError:
        return False
    _say_removed(removed)
    return bool(removed)


def _say_removed(libraries: list[Path]) -> None:
    if libraries:
        log.warning("removed torn libraries of a killed compiler: %s", ", ".join(map(str, libraries)))


def _inductor(step: Program, inputs: tuple[Tensor, ...]) -> Program:
    """A function of tensors, compiled for the shapes of these; without guards, so that a call costs little.

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
    """One step as a function of plain tensors; points and targets come with points last."""

    def step(*inputs: Tensor) -> tuple[Tensor, ...]:
        rows, mean, variance, active, diverged_at, size, spread, kept, count, factors, points, targets = inputs
        state = State(rows, Moments(mean, variance), active, diverged_at, stopped_at=diverged_at)
        now = Pace(size, spread, kept, count)
        after = take_step(problem, state, points.mT, targets.mT, now, waves=joint, factors=factors)
        return after.rows, after.moments.mean, after.moments.variance, after.diverged_at

    return step
