"""The reference engine, which runs the operations of each step one by one in float32 on the CPU."""

from dataclasses import replace

import torch

from nefstudy.config import OptimizerConfig
from nefstudy.fields.padding import padded
from nefstudy.fitting.optimizer import step_scalars
from nefstudy.fitting.problem import PointSampler, Problem
from nefstudy.fitting.step import State, take_step


@torch.no_grad()
def advance(problem: Problem, optimizer: OptimizerConfig, state: State, data: PointSampler, steps: int) -> State:
    """Return the state after `steps` more steps."""
    for _ in range(steps):
        coords, targets = data.at(state.step)
        after = take_step(problem, state, padded(coords), targets, step_scalars(optimizer, state.step))
        state = replace(after, step=state.step + 1)
    return state
