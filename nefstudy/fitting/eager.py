"""The reference engine: each step operation by operation, in float32 on the CPU."""

from dataclasses import replace

import torch

from nefstudy.fitting.optimiser import schedule
from nefstudy.fitting.problem import Points, Problem
from nefstudy.fitting.step import State, mark, take_step

CHUNK = 16  # 16 SIREN 2-32-32-1 fields on 28x28 keep their activations in a 2 MiB cache


@torch.no_grad()
def advance(problem: Problem, state: State, data: Points, steps: int) -> State:
    """Lanes after `steps` more steps."""
    for _ in range(steps):
        points, targets = data.at(state.step)
        after, losses = take_step(
            problem, state, points, targets, torch.tensor(schedule(state.step, problem.optimiser))
        )
        state = replace(mark(after, losses), step=state.step + 1)
    return state
