"""The fits that `nefstudy bench gpu` compares, times and profiles."""

import time
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
import torch

from nefstudy.bench.fit import RATES, Case, images
from nefstudy.bench.gpu.rows import ENGINE
from nefstudy.config import OptimizerConfig
from nefstudy.errors import BadConfig
from nefstudy.fitting.engines.catalog import ENGINES
from nefstudy.fitting.problem import Problem, WholeGrid
from nefstudy.fitting.step import State, initial_state
from nefstudy.inits.drawn import RandomInit
from nefstudy.signals.signal import grid_coords


def label(case: Case) -> str:
    """Return the name of a case in rows."""
    return f"{case.field} h{case.hidden} {case.image}"


def problem_of(case: Case) -> Problem:
    """Return the problem of fitting a case."""
    return Problem(case.network, "mse", "adamw")


def check_support(case: Case) -> None:
    """Raise an error with the reason if the engine cannot fit a case here."""
    reason = ENGINES[ENGINE].unsupported_reason(case.network)
    if reason is not None:
        raise BadConfig(reason)


def start_of(case: Case, lanes: int) -> State:
    """Return the state of random fields before the first step."""
    return initial_state(RandomInit().rows(case.network, seed=0, ids=range(lanes), view=0))


def grid_of(case: Case, lanes: int) -> WholeGrid:
    """Return real images as targets, repeated if there are fewer images than lanes."""
    own = images(case, min(lanes, 1_000))
    targets = np.resize((own - own.mean()) / own.std(), (lanes, prod(case.grid), case.channels))
    return WholeGrid(torch.from_numpy(grid_coords(case.grid)), torch.from_numpy(targets.astype(np.float32)))


def advance(case: Case, state: State, grid: WholeGrid, steps: int, *, engine: str = ENGINE) -> State:
    """Return the state after `steps` more steps, with the learning rate of phase 2."""
    return ENGINES[engine].advance(problem_of(case), OptimizerConfig(lr=RATES[case.field]), state, grid, steps)


def seconds_of(call: Callable[[], Any]) -> float:
    """Return a call's wall time; its results are on the CPU, so the device has finished."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
