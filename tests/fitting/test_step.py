"""Laws of one step."""

from dataclasses import replace

import pytest
import torch

from nefstudy.config import OptimiserConfig
from nefstudy.fields.field import unflatten
from nefstudy.fields.rffnet import RffNet
from nefstudy.fields.siren import Siren
from nefstudy.fitting.optimiser import schedule
from nefstudy.fitting.problem import Problem
from nefstudy.fitting.start import start_rows
from nefstudy.fitting.step import State, first_state, mark, take_step

POINTS = torch.rand(9, 2, generator=torch.Generator().manual_seed(0))
TARGETS = torch.rand(3, 9, 1, generator=torch.Generator().manual_seed(1))


def stepped(problem: Problem, state: State) -> State:
    with torch.no_grad():
        return take_step(problem, state, POINTS, TARGETS, torch.tensor(schedule(0, problem.optimiser)))[0]


@pytest.mark.parametrize("trained", [True, False])
def test_untrained_parameters_keep_their_start(trained: bool) -> None:
    """Frequencies move if they are trained; if not, neither gradient nor weight decay touches them."""
    field = RffNet(2, 1, hidden=8, layers=3, train_frequencies=trained)
    problem = Problem(field, OptimiserConfig(weight_decay=0.1), "mse")
    rows = start_rows(field, start="random", seed=0, ids=[0, 1, 2], view=0)
    before, after = unflatten(field, rows), unflatten(field, stepped(problem, first_state(rows)).rows)
    assert torch.equal(before["frequencies"], after["frequencies"]) is not trained
    assert not torch.equal(before["kernel_0"], after["kernel_0"])


def test_inactive_lanes_keep_their_rows() -> None:
    """A lane that is not active stays; the others take the bits they would take anyway."""
    field = Siren(2, 1, hidden=4)
    problem = Problem(field, OptimiserConfig(), "mse")
    state = first_state(start_rows(field, start="random", seed=0, ids=[0, 1, 2], view=0))
    free = stepped(problem, state).rows
    held = stepped(problem, replace(state, active=torch.tensor([True, False, True]))).rows
    assert torch.equal(held[1], state.rows[1])
    assert torch.equal(held[[0, 2]], free[[0, 2]])
    assert not torch.equal(free[1], state.rows[1])


def test_a_lane_is_flagged_once() -> None:
    """The first step count at which a loss is not finite stays."""
    state = replace(first_state(torch.zeros(3, 1)), step=4)
    state = mark(state, torch.tensor([1.0, torch.nan, 2.0]))
    state = mark(replace(state, step=7), torch.tensor([1.0, torch.nan, torch.inf]))
    assert state.diverged_at.tolist() == [-1, 4, 7]
