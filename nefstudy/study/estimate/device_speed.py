"""The speed of this machine at fitting fields, measured in about a second for cost estimates."""

import os
import platform
import time
from math import prod

import numpy as np
import torch

from nefstudy.config import OptimizerConfig
from nefstudy.fields.siren import Siren
from nefstudy.fitting.cost import step_seconds
from nefstudy.fitting.engines import eager
from nefstudy.fitting.problem import Problem, WholeGrid
from nefstudy.fitting.step import initial_state
from nefstudy.fitting.threads import threads
from nefstudy.inits.drawn import RandomInit
from nefstudy.signals.signal import grid_coords
from nefstudy.study.estimate.cost import Device

FIELD, GRID, FIELDS, STEPS, TURNS = Siren(2, 1), (28, 28), 8, 15, 10
GPU = "one GPU (a rate derived, not measured)"


def measure_device(*, engine: str = "auto") -> Device:
    """Measure this machine's eager speed on one core, relative to the machine where the engines' rates were measured.

    All engines are assumed to differ by the same factor. `fused` runs elsewhere and is not measured.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if engine == "fused":
        return Device(GPU, cores, 1.0)
    expected = FIELDS * STEPS * step_seconds(FIELD, points=prod(GRID), engine="eager", lanes=FIELDS)
    slowness = max(_seconds() / expected, 1e-6)
    steps = 1 / (slowness * step_seconds(FIELD, points=prod(GRID), engine="eager", lanes=FIELDS))
    measured = f"{steps:,.0f} eager steps/s each, measured now, SIREN 2-32-32-1, 28x28"
    name = f"{platform.machine()} CPU, {cores} cores ({measured})"
    return Device(name, cores, slowness)


def _seconds() -> float:
    """Return the CPU time in seconds of `STEPS` steps of one chunk on one thread, taken from the fastest repeat."""
    problem, optimizer = Problem(FIELD, "mse", "adamw"), OptimizerConfig()
    points = torch.from_numpy(grid_coords(GRID))
    ramp = np.linspace(-1, 1, FIELDS * prod(GRID), dtype=np.float32).reshape(FIELDS, prod(GRID), 1)
    data = WholeGrid(points, torch.from_numpy(ramp))
    state = initial_state(RandomInit().rows(FIELD, seed=0, ids=range(FIELDS), view=0))
    best = float("inf")
    with threads(1):
        for _ in range(TURNS):
            began = time.process_time()
            state = eager.advance(problem, optimizer, state, data, STEPS)
            best = min(best, time.process_time() - began)
    return best
