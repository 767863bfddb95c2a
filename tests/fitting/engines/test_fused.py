"""Tests of the fused engine in Triton's interpreter: it has the other engines' properties and agrees with eager.

The interpreter runs the kernel on a CPU. One step of one field takes about 0.1 s, so everything here is tiny.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from nefstudy.config import FitConfig, OptimizerConfig
from nefstudy.fields.field import NeuralField
from nefstudy.fields.loss import LOSSES
from nefstudy.fields.mfn import Mfn
from nefstudy.fields.rffnet import RffNet
from nefstudy.fields.siren import Siren
from nefstudy.fitting.engines import eager
from nefstudy.fitting.engines.fused.engine import advance, fingerprint_keys, losses, unsupported_reason
from nefstudy.fitting.fit import Fits, fit_fields
from nefstudy.fitting.ladder import grid_loss
from nefstudy.fitting.problem import DrawnPoints, Problem, WholeGrid
from nefstudy.fitting.step import State, initial_state
from nefstudy.inits.drawn import RandomInit, SharedInit
from nefstudy.signals.signal import Signals

pytest.importorskip("triton")
pytestmark = pytest.mark.slow

Configure = Callable[..., FitConfig]
Interpret = Callable[..., Any]
WIDE: dict[str, NeuralField] = {
    "siren": Siren(3, 3, hidden=20, layers=4),
    "rffnet": RffNet(3, 3, hidden=36, layers=3, std=0.5),
    "mfn": Mfn(3, 3, hidden=20, filters=3),
}

SOLID: dict[str, NeuralField] = {
    "siren": Siren(3, 1, hidden=8),
    "rffnet": RffNet(3, 1, hidden=8, layers=2),
    "mfn": Mfn(3, 1, hidden=8, filters=2),
}


@pytest.fixture
def fused(interpret: Interpret, field: NeuralField, configure: Configure, signals: Signals) -> Callable[..., Fits]:
    """Return a function that fits the given digits with the tested field in the fused engine."""

    def run(rows: list[int], *, of: Signals = signals, **changes: object) -> Fits:
        fits = interpret(fit_fields, field, of, configure(engine="fused", **changes), rows=np.array(rows))
        assert isinstance(fits, Fits)
        return fits

    return run


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape and one.numpy().tobytes() == other.numpy().tobytes()


def states(
    interpret: Interpret, problem: Problem, optimizer: OptimizerConfig, steps: int
) -> tuple[State, State, State]:
    """Return two lanes in three states: initial, after `steps` fused steps, and after `steps` eager steps."""
    random = torch.Generator().manual_seed(3)
    field = problem.field
    coords = torch.rand(50, field.in_dim, generator=random) * 2 - 1
    grid = WholeGrid(coords, torch.rand(2, 50, field.out_dim, generator=random))
    initial = initial_state(RandomInit().rows(field, seed=0, ids=range(2), view=0))
    return (
        initial,
        interpret(advance, problem, optimizer, initial, grid, steps),
        eager.advance(problem, optimizer, initial, grid, steps),
    )


def relative_difference(initial: State, fused: State, expected: State) -> float:
    """Return the fused engine's error relative to the change since the init, as the maximum over both lanes."""
    change = (expected.rows - initial.rows).norm(dim=1)
    return float(((fused.rows - expected.rows).norm(dim=1) / change).max())


@pytest.mark.parametrize("steps", [1, 10])
def test_it_agrees_with_eager(interpret: Interpret, field: NeuralField, steps: int) -> None:
    """After 1 and 10 steps, parameters differ from the eager engine's by less than 1e-5 of their total change."""
    problem, optimizer = Problem(field, "mse", "adamw"), OptimizerConfig(lr=1e-3, weight_decay=0.01)
    assert relative_difference(*states(interpret, problem, optimizer, steps)) < 1e-5


def test_it_agrees_with_eager_after_a_hundred_steps(interpret: Interpret, field: NeuralField) -> None:
    """After 100 steps, the accumulated rounding error is still below 1e-3 of the change since the init."""
    problem, optimizer = Problem(field, "mse", "adamw"), OptimizerConfig(lr=1e-3, weight_decay=0.01)
    assert relative_difference(*states(interpret, problem, optimizer, 100)) < 1e-3


@pytest.mark.parametrize("name", ["siren"], indirect=True)
def test_it_agrees_with_eager_for_long(fused: Callable[..., Fits], configure: Configure, signals: Signals) -> None:
    """After 40 and 80 steps, a digit's PSNR is within 0.05 dB of the eager engine's.

    In the interpreter, 1,000 steps would take minutes.
    """
    fits = fused([4], rungs=(40, 80))
    siren = Siren(2, 1, hidden=8)
    expected = fit_fields(siren, signals, configure(rungs=(40, 80)), rows=np.array([4]))
    assert (10 * (fits.losses.log10() - expected.losses.log10())).abs().max() < 0.05
    torch.testing.assert_close(fits.parameters, expected.parameters, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("field", WIDE.values(), ids=WIDE)
def test_no_size_is_special(interpret: Interpret, field: NeuralField, loss: Any) -> None:
    """Fits of larger fields with three coordinates and three channels agree with the eager engine's for every loss."""
    problem = Problem(field, loss, "adamw")
    assert relative_difference(*states(interpret, problem, OptimizerConfig(lr=1e-3), 2)) < 2e-5


@pytest.mark.parametrize("field", [Siren(2, 1, hidden=8), RffNet(2, 1, hidden=8, layers=2, train_frequencies=False)])
def test_plain_descent_and_frozen_frequencies(interpret: Interpret, field: NeuralField) -> None:
    """SGD steps agree with the eager engine's and do not change untrained parameters."""
    optimizer = OptimizerConfig(name="sgd", lr=1e-2, weight_decay=0.1)
    initial, fitted, expected = states(interpret, Problem(field, "mse", "sgd"), optimizer, 3)
    assert relative_difference(initial, fitted, expected) < 1e-5
    if isinstance(field, RffNet):
        assert same(fitted.rows[:, :8], initial.rows[:, :8])


def test_a_field_alone_is_the_field_among_others(fused: Callable[..., Fits]) -> None:
    """A field's bytes do not depend on its chunk, lane, neighbors or earlier rungs. Another signal changes them."""
    among = fused([0, 5, 9], rungs=(0, 2, 3))
    alone = fused([9, 5], rungs=(3,), chunk=2)
    assert same(alone.parameters[0], among.parameters[2, [2, 1]])
    assert same(alone.losses[0], among.losses[2, [2, 1]])
    assert not same(among.parameters[2, 0], among.parameters[2, 1])


def test_drawn_points_agree_with_eager(
    fused: Callable[..., Fits], field: NeuralField, configure: Configure, signals: Signals
) -> None:
    """Fits to drawn points agree with the eager engine's and are bit-identical for any choice of rungs."""
    fits = fused([3, 7], batch_points=16, rungs=(2, 5))
    expected = fit_fields(field, signals, configure(batch_points=16, rungs=(2, 5)), rows=np.array([3, 7]))
    torch.testing.assert_close(fits.parameters, expected.parameters, rtol=1e-4, atol=1e-6)
    assert same(fused([7, 3], batch_points=16, rungs=(5,)).parameters[0], fits.parameters[1, [1, 0]])


def test_shapes_are_fitted_to_occupancies(interpret: Interpret, name: str) -> None:
    """Fits of shapes, with cross-entropy and points drawn from two strata, agree with the eager engine's."""
    random = torch.Generator().manual_seed(5)
    inside = torch.arange(80).expand(2, 80).unsqueeze(2) < 40
    grid = WholeGrid(torch.rand(2, 80, 3, generator=random), inside.float())
    problem, optimizer = Problem(SOLID[name], "bce", "adamw"), OptimizerConfig(lr=1e-3)
    initial = initial_state(SharedInit().rows(SOLID[name], seed=0, ids=range(2), view=0))
    draws = [DrawnPoints(grid, count=40, seed=0, ids=range(2), view=0, strata=2) for _ in range(2)]
    fitted = interpret(advance, problem, optimizer, initial, draws[0], 3)
    assert relative_difference(initial, fitted, eager.advance(problem, optimizer, initial, draws[1], 3)) < 2e-5


def test_a_diverging_field_is_alone(fused: Callable[..., Fits], signals: Signals) -> None:
    """A field whose loss overflows is flagged with the step of its divergence. The other fields keep their bytes."""
    values = signals.originals(np.arange(3)).reshape(3, 8, 8, 1).copy()
    normal = replace(signals.first(3), values=values)
    values = values.copy()
    values[1] = 1e25
    expected, fits = (fused([0, 1, 2], of=of, rungs=(0, 2)) for of in (normal, replace(normal, values=values)))
    assert same(fits.parameters[:, [0, 2]], expected.parameters[:, [0, 2]])
    assert fits.diverged_at.tolist() == [-1, 0, -1]
    assert torch.isnan(fits.parameters[:, 1]).all()


@pytest.mark.parametrize("name", ["siren"], indirect=True)
def test_a_field_that_blows_up_is_noticed_when_it_does(interpret: Interpret, field: NeuralField) -> None:
    """The recorded step of divergence equals the eager engine's, and later steps do not change it."""
    problem, optimizer = Problem(field, "mse", "sgd"), OptimizerConfig(name="sgd", lr=1e9)
    _, fitted, expected = states(interpret, problem, optimizer, 6)
    assert fitted.diverged_at.tolist() == expected.diverged_at.tolist()
    assert (fitted.diverged_at > 0).all()
    grid = WholeGrid(torch.zeros(50, 2), torch.zeros(2, 50, 1))
    assert same(interpret(advance, problem, optimizer, fitted, grid, 1).diverged_at, fitted.diverged_at)


@pytest.mark.parametrize("name", ["siren"], indirect=True)
def test_a_stopped_field_stays(fused: Callable[..., Fits]) -> None:
    """A field that has reached the target PSNR keeps its parameters. Without early stopping, they change."""
    stopped = fused([0, 1], stop_psnr=1.0, rungs=(10, 12))
    assert (stopped.stopped_at >= 0).all()
    assert same(stopped.parameters[0], stopped.parameters[1])
    free = fused([0, 1], rungs=(10, 12))
    assert not same(free.parameters[0], free.parameters[1])


def test_losses_are_eagers(interpret: Interpret, field: NeuralField) -> None:
    """The loss over a whole grid, with different points for each field, equals the eager engine's."""
    random = torch.Generator().manual_seed(1)
    grid = WholeGrid(torch.rand(2, 80, 2, generator=random), torch.rand(2, 70, 1, generator=random))
    rows = RandomInit().rows(field, seed=1, ids=range(2), view=0)
    for loss in LOSSES:
        problem = Problem(field, loss, "adamw")
        torch.testing.assert_close(interpret(losses, problem, rows, grid), grid_loss(problem, rows, grid))


def test_the_fingerprint_names_device_products_and_version(interpret: Interpret) -> None:
    """The fingerprint names the device or the interpreter, the product method and Triton's version."""
    keys = interpret(fingerprint_keys)
    assert keys["device"] == "triton-interpreter"
    assert keys["products"] == "tf32x3"
    assert set(keys) == {"device", "products", "triton"}


def test_what_does_not_fit_is_refused_with_its_reason(interpret: Interpret) -> None:
    """A field with too many units or channels, or too few layers, is unsupported, and the reason is stated."""
    assert interpret(unsupported_reason, Siren(2, 1, hidden=128)) is None
    assert "hidden = 65: a mfn fits a processor up to 64" in interpret(unsupported_reason, Mfn(2, 1, hidden=65))
    assert "hidden = 129" in interpret(unsupported_reason, Siren(2, 1, hidden=129))
    assert "hidden = 1000" in interpret(unsupported_reason, Siren(2, 1, hidden=1000))
    assert "at least 2" in interpret(unsupported_reason, RffNet(2, 1, layers=1))
    assert "out_dim = 9" in interpret(unsupported_reason, Mfn(2, 9))
