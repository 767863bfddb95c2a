"""The reference engine: each step operation by operation, in float32 on the CPU."""

from dataclasses import replace

import torch

from nefstudy.config import OptimizerConfig
from nefstudy.fields.padding import padded
from nefstudy.fitting.optimizer import pace
from nefstudy.fitting.problem import Points, Problem
from nefstudy.fitting.step import State, take_step


@torch.no_grad()
def advance(problem: Problem, optimizer: OptimizerConfig, state: State, data: Points, steps: int) -> State:
    """Lanes after `steps` more steps."""
    for _ in range(steps):
        points, targets = data.at(state.step)
        after = take_step(problem, state, padded(points), targets, pace(optimizer, state.step))
        state = replace(after, step=state.step + 1)
    return state
