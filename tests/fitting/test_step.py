"""Tests of a single optimizer step."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from nefstudy.config import OptimizerConfig
from nefstudy.fields.field import NeuralField, flatten, unflatten
from nefstudy.fields.rffnet import RffNet
from nefstudy.fields.sincos import fused_sincos
from nefstudy.fields.siren import Siren
from nefstudy.fitting.optimizer import step_scalars
from nefstudy.fitting.problem import Problem
from nefstudy.fitting.step import State, first_not_finite, initial_state, take_step
from nefstudy.inits.drawn import RandomInit

COORDS = torch.rand(9, 2, generator=torch.Generator().manual_seed(0))
TARGETS = torch.rand(3, 9, 1, generator=torch.Generator().manual_seed(1))


def stepped(field: NeuralField, state: State, **how: Any) -> State:
    with torch.no_grad():
        scalars = step_scalars(OptimizerConfig(weight_decay=0.1), 0)
        return take_step(Problem(field, "mse", "adamw"), state, COORDS, TARGETS, scalars, **how)


@pytest.mark.parametrize("trained", [True, False])
def test_untrained_parameters_keep_their_start(trained: bool) -> None:
    """A step changes frequencies only if they are trained. Even weight decay does not change untrained frequencies."""
    field = RffNet(2, 1, hidden=8, layers=3, train_frequencies=trained)
    rows = RandomInit().rows(field, seed=0, ids=[0, 1, 2], view=0)
    before, after = unflatten(field, rows), unflatten(field, stepped(field, initial_state(rows)).rows)
    assert torch.equal(before["frequencies"], after["frequencies"]) is not trained
    assert not torch.equal(before["kernel_0"], after["kernel_0"])


def test_inactive_lanes_keep_their_rows() -> None:
    """An inactive lane keeps its parameters. The other lanes are updated as if all lanes were active."""
    field = Siren(2, 1, hidden=4)
    state = initial_state(RandomInit().rows(field, seed=0, ids=[0, 1, 2], view=0))
    free = stepped(field, state).rows
    partial = stepped(field, replace(state, active=torch.tensor([True, False, True]))).rows
    assert torch.equal(partial[1], state.rows[1])
    assert torch.equal(partial[[0, 2]], free[[0, 2]])
    assert not torch.equal(free[1], state.rows[1])


def test_a_step_of_the_unit_form_is_the_fields_step() -> None:
    """With omega_0 given as factors, a step of a SIREN's unit form (omega_0 = 1) equals a step of the field itself."""
    field = Siren(2, 1, hidden=4, omega_0=7.0)
    state = initial_state(RandomInit().rows(field, seed=0, ids=[0, 1, 2], view=0))
    unit, factors = field.unit
    row = flatten(field, {p.name: torch.full((1, *p.shape), factors.get(p.name, 1.0)) for p in field.layout})[0]
    expected, scaled = stepped(field, state), stepped(unit, state, factors=row, sincos=fused_sincos)
    torch.testing.assert_close(scaled.rows, expected.rows, rtol=1e-4, atol=1e-6)
    assert not torch.allclose(stepped(unit, state).rows, expected.rows, atol=1e-4)


def test_a_lane_is_flagged_once() -> None:
    """The step count at which a lane's loss first becomes non-finite is not overwritten later."""
    flags = first_not_finite(torch.full((3,), -1), torch.tensor([1.0, torch.nan, 2.0]), 4)
    flags = first_not_finite(flags, torch.tensor([1.0, torch.nan, torch.inf]), 7)
    assert flags.tolist() == [-1, 4, 7]
