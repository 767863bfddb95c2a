"""Tests of the fused engine for SIRENs and RFFNets of 65 to 128 units in Triton's interpreter.

Their matrices and gradients are in global memory, so products and sums differ from those of narrower fields.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from nefstudy.config import OptimizerConfig
from nefstudy.fields.field import NeuralField
from nefstudy.fields.rffnet import RffNet
from nefstudy.fields.siren import Siren
from nefstudy.fitting.engines import eager
from nefstudy.fitting.engines.fused.engine import advance, losses
from nefstudy.fitting.engines.fused.plan import MAX_RESIDENT, plan_of
from nefstudy.fitting.ladder import grid_loss
from nefstudy.fitting.problem import Problem, WholeGrid
from nefstudy.fitting.step import State, initial_state
from nefstudy.inits.drawn import RandomInit
from nefstudy.signals.signal import LossName

pytest.importorskip("triton")
pytestmark = pytest.mark.slow

Interpret = Callable[..., Any]
POINTS = 40  # more than a tile, and not a multiple of one
ADAM, SGD = OptimizerConfig(lr=1e-3, weight_decay=0.01), OptimizerConfig(name="sgd", lr=1e-2)
FIELDS: dict[str, NeuralField] = {
    "siren-65": Siren(2, 3, hidden=65),
    "siren-96": Siren(2, 1, hidden=96),
    "siren-100": Siren(3, 1, hidden=100, layers=3),
    "siren-128": Siren(3, 1, hidden=128, layers=4),
    "rffnet-66": RffNet(2, 1, hidden=66, layers=2, std=0.5),
    "rffnet-100": RffNet(3, 3, hidden=100, layers=3, std=0.5),
    "rffnet-128": RffNet(2, 1, hidden=128, layers=3, std=0.5),
    "rffnet-96": RffNet(2, 3, hidden=96, layers=2, std=0.5, train_frequencies=False),
}
every_field = pytest.mark.parametrize("field", FIELDS.values(), ids=FIELDS)


def fit_of(field: NeuralField) -> tuple[Problem, State, WholeGrid]:
    """Return a problem, three lanes before the first step, and their points."""
    random = torch.Generator().manual_seed(3)
    coords = torch.rand(POINTS, field.in_dim, generator=random) * 2 - 1
    grid = WholeGrid(coords, torch.rand(3, POINTS, field.out_dim, generator=random))
    loss: LossName = "bce" if field.out_dim == 1 and field.in_dim == 3 else "mse"
    return Problem(field, loss, "adamw"), initial_state(RandomInit().rows(field, seed=0, ids=range(3), view=0)), grid


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the largest error of a row, relative to the norm of the expected row."""
    return float(((found - expected).norm(dim=1) / expected.norm(dim=1)).max())


@every_field
@pytest.mark.parametrize(("optimizer", "tolerance"), [(SGD, 1e-5), (ADAM, 1e-3)], ids=["sgd", "adamw"])
def test_it_agrees_with_eager(
    interpret: Interpret, field: NeuralField, optimizer: OptimizerConfig, tolerance: float
) -> None:
    """After two steps, parameters agree with eager's relative to their change, and initial losses agree.

    The second step shows that sums of gradients begin at zero again. AdamW divides by the size of each gradient, so
    the rounding error of a tiny gradient changes its parameter's step.
    """
    problem, start, grid = fit_of(field)
    problem = replace(problem, optimizer=optimizer.name)
    fitted = interpret(advance, problem, optimizer, start, grid, 2)
    expected = eager.advance(problem, optimizer, start, grid, 2)
    assert plan_of(field).wide
    assert relative(fitted.rows - start.rows, expected.rows - start.rows) < tolerance
    torch.testing.assert_close(interpret(losses, problem, start.rows, grid), grid_loss(problem, start.rows, grid))


@every_field
def test_gradients_are_as_accurate_as_eagers(interpret: Interpret, field: NeuralField) -> None:
    """The gradient of float32, by one step of plain descent, differs from float64's by less than 2e-6 of its norm."""
    problem, start, grid = fit_of(field)
    problem, plain = replace(problem, optimizer="sgd"), OptimizerConfig(name="sgd", lr=1.0)
    exact_grid = WholeGrid(grid.coords.double(), grid.targets.double())
    exact = eager.advance(problem, plain, initial_state(start.rows.double()), exact_grid, 1)
    fitted = interpret(advance, problem, plain, start, grid, 1)
    assert relative(fitted.rows - start.rows, exact.rows - start.rows) < 2e-6


@pytest.mark.parametrize("name", ["siren-65", "rffnet-100"])
def test_a_field_alone_is_the_field_among_others(interpret: Interpret, name: str) -> None:
    """A field's bytes do not depend on its chunk, lane, neighbors or launches. Another signal changes them."""
    problem, start, grid = fit_of(FIELDS[name])
    among = interpret(advance, problem, ADAM, start, grid, 2).rows
    targets = grid.targets[[2, 1]]
    alone = initial_state(start.rows[[2, 1]])
    for _ in range(2):
        alone = interpret(advance, problem, ADAM, alone, WholeGrid(grid.coords, targets), 1)
    assert alone.rows.numpy().tobytes() == among[[2, 1]].numpy().tobytes()
    other = interpret(advance, problem, ADAM, initial_state(start.rows), WholeGrid(grid.coords, 1 - grid.targets), 2)
    assert not torch.equal(other.rows, among)


def test_only_fields_that_do_not_fit_a_processor_are_wide() -> None:
    """Fields of up to 64 units keep their matrices and gradients in a processor."""
    assert MAX_RESIDENT == 64
    assert [plan_of(Siren(2, 1, hidden=hidden)).wide for hidden in (8, 64, 65, 128)] == [False, False, True, True]
