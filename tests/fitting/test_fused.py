"""The fused engine under Triton's interpreter: the laws of the other engines, and eager's results to rounding.

The interpreter runs the kernel on a CPU, a step of one field in about a tenth of a second, so everything here is tiny.
It must be on before Triton is imported, so fits run in a process of their own.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from typing import Any

import numpy as np
import pytest
import torch

from nefstudy.config import FitConfig, OptimizerConfig
from nefstudy.fields.field import NeuralField
from nefstudy.fields.mfn import Mfn
from nefstudy.fields.rffnet import RffNet
from nefstudy.fields.siren import Siren
from nefstudy.fitting import eager
from nefstudy.fitting.fit import Fits, fit_fields
from nefstudy.fitting.fused.engine import advance, losses, marks, why_not
from nefstudy.fitting.ladder import grid_loss
from nefstudy.fitting.problem import DrawnPoints, Problem, WholeGrid
from nefstudy.fitting.step import State, first_state
from nefstudy.inits.drawn import Random, Shared
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

SOLID = {
    "siren": Siren(3, 1, hidden=8),
    "rffnet": RffNet(3, 1, hidden=8, layers=2),
    "mfn": Mfn(3, 1, hidden=8, filters=2),
}


@pytest.fixture(scope="session")
def interpret() -> Iterator[Interpret]:
    """Calls a function where kernels are interpreted."""
    before = os.environ.get("TRITON_INTERPRET")
    os.environ["TRITON_INTERPRET"] = "1"
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        pool.submit(int).result()
        if before is None:
            del os.environ["TRITON_INTERPRET"]
        yield lambda call, *args, **kwargs: pool.submit(call, *args, **kwargs).result()


@pytest.fixture
def fused(interpret: Interpret, field: NeuralField, configure: Configure, signals: Signals) -> Callable[..., Fits]:
    """Fits of the given digits by the current field."""

    def run(rows: list[int], *, of: Signals = signals, **changes: object) -> Fits:
        found = interpret(fit_fields, field, of, configure(engine="fused", **changes), rows=np.array(rows))
        assert isinstance(found, Fits)
        return found

    return run


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape and one.numpy().tobytes() == other.numpy().tobytes()


def states(
    interpret: Interpret, problem: Problem, optimizer: OptimizerConfig, steps: int
) -> tuple[State, State, State]:
    """Two lanes, a made-up signal each: the start, and so many steps later by the fused and by the eager engine."""
    random = torch.Generator().manual_seed(3)
    field = problem.field
    points = torch.rand(50, field.in_dim, generator=random) * 2 - 1
    grid = WholeGrid(points, torch.rand(2, 50, field.out_dim, generator=random))
    start = first_state(Random().rows(field, seed=0, ids=range(2), view=0))
    return (
        start,
        interpret(advance, problem, optimizer, start, grid, steps),
        eager.advance(problem, optimizer, start, grid, steps),
    )


def apart(start: State, found: State, expected: State) -> float:
    """How far results lie apart, as a share of the way gone; the worse lane."""
    way = (expected.rows - start.rows).norm(dim=1)
    return float(((found.rows - expected.rows).norm(dim=1) / way).max())


@pytest.mark.parametrize("steps", [1, 10])
def test_it_agrees_with_eager(interpret: Interpret, field: NeuralField, steps: int) -> None:
    """After 1 and 10 steps the parameters have moved as eager's have, to a hundred-thousandth of the way."""
    problem, optimizer = Problem(field, "mse", "adamw"), OptimizerConfig(lr=1e-3, weight_decay=0.01)
    assert apart(*states(interpret, problem, optimizer, steps)) < 1e-5


def test_it_agrees_with_eager_after_a_hundred_steps(interpret: Interpret, field: NeuralField) -> None:
    """Rounding grows with the steps; after 100 it is still under a thousandth of the way."""
    problem, optimizer = Problem(field, "mse", "adamw"), OptimizerConfig(lr=1e-3, weight_decay=0.01)
    assert apart(*states(interpret, problem, optimizer, 100)) < 1e-3


@pytest.mark.parametrize("name", ["siren"], indirect=True)
def test_it_agrees_with_eager_for_long(fused: Callable[..., Fits], configure: Configure, signals: Signals) -> None:
    """After 40 and 80 steps a digit's PSNR is eager's to 0.05 dB; 1,000 would take the interpreter minutes."""
    found = fused([4], rungs=(40, 80))
    siren = Siren(2, 1, hidden=8)
    expected = fit_fields(siren, signals, configure(rungs=(40, 80)), rows=np.array([4]))
    assert (10 * (found.losses.log10() - expected.losses.log10())).abs().max() < 0.05
    torch.testing.assert_close(found.parameters, expected.parameters, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("loss", ["mse", "bce"])
@pytest.mark.parametrize("field", WIDE.values(), ids=WIDE)
def test_no_size_is_special(interpret: Interpret, field: NeuralField, loss: Any) -> None:
    """Widths that are no powers of two, three channels, three coordinates, more layers, either loss."""
    problem = Problem(field, loss, "adamw")
    assert apart(*states(interpret, problem, OptimizerConfig(lr=1e-3), 2)) < 2e-5


@pytest.mark.parametrize("field", [Siren(2, 1, hidden=8), RffNet(2, 1, hidden=8, layers=2, train_frequencies=False)])
def test_plain_descent_and_frozen_frequencies(interpret: Interpret, field: NeuralField) -> None:
    """SGD's steps are eager's, and what is not trained keeps its bytes."""
    optimizer = OptimizerConfig(name="sgd", lr=1e-2, weight_decay=0.1)
    start, found, expected = states(interpret, Problem(field, "mse", "sgd"), optimizer, 3)
    assert apart(start, found, expected) < 1e-5
    if isinstance(field, RffNet):
        assert same(found.rows[:, :8], start.rows[:, :8])


def test_a_field_alone_is_the_field_among_others(fused: Callable[..., Fits]) -> None:
    """Chunks, lanes, neighbours and rungs on the way change no byte; another signal does."""
    among = fused([0, 5, 9], rungs=(0, 2, 3))
    alone = fused([9, 5], rungs=(3,), chunk=2)
    assert same(alone.parameters[0], among.parameters[2, [2, 1]])
    assert same(alone.losses[0], among.losses[2, [2, 1]])
    assert not same(among.parameters[2, 0], among.parameters[2, 1])


def test_drawn_points_agree_with_eager(
    fused: Callable[..., Fits], field: NeuralField, configure: Configure, signals: Signals
) -> None:
    """Minibatches are the same points for every engine, and where a rung lies changes no byte."""
    found = fused([3, 7], batch_points=16, rungs=(2, 5))
    expected = fit_fields(field, signals, configure(batch_points=16, rungs=(2, 5)), rows=np.array([3, 7]))
    torch.testing.assert_close(found.parameters, expected.parameters, rtol=1e-4, atol=1e-6)
    assert same(fused([7, 3], batch_points=16, rungs=(5,)).parameters[0], found.parameters[1, [1, 0]])


def test_shapes_are_fitted_to_occupancies(interpret: Interpret, name: str) -> None:
    """Points of a shape's own, drawn anew each step from either stratum, with cross-entropy: eager's results."""
    random = torch.Generator().manual_seed(5)
    inside = torch.arange(80).expand(2, 80).unsqueeze(2) < 40
    grid = WholeGrid(torch.rand(2, 80, 3, generator=random), inside.float())
    problem, optimizer = Problem(SOLID[name], "bce", "adamw"), OptimizerConfig(lr=1e-3)
    start = first_state(Shared().rows(SOLID[name], seed=0, ids=range(2), view=0))
    draws = [DrawnPoints(grid, count=40, seed=0, ids=range(2), view=0, strata=2) for _ in range(2)]
    found = interpret(advance, problem, optimizer, start, draws[0], 3)
    assert apart(start, found, eager.advance(problem, optimizer, start, draws[1], 3)) < 2e-5


def test_a_diverging_field_is_alone(fused: Callable[..., Fits], signals: Signals) -> None:
    """A signal too large to fit is flagged at its step; its neighbours keep their bytes."""
    values = signals.originals(np.arange(3)).reshape(3, 8, 8, 1).copy()
    well = replace(signals.first(3), values=values)
    values = values.copy()
    values[1] = 1e25
    expected, found = (fused([0, 1, 2], of=of, rungs=(0, 2)) for of in (well, replace(well, values=values)))
    assert same(found.parameters[:, [0, 2]], expected.parameters[:, [0, 2]])
    assert found.diverged_at.tolist() == [-1, 0, -1]
    assert torch.isnan(found.parameters[:, 1]).all()


@pytest.mark.parametrize("name", ["siren"], indirect=True)
def test_a_field_that_blows_up_is_noticed_when_it_does(interpret: Interpret, field: NeuralField) -> None:
    """The step at which a field's loss was first not finite is eager's, and stays what it was afterwards."""
    problem, optimizer = Problem(field, "mse", "sgd"), OptimizerConfig(name="sgd", lr=1e9)
    _, found, expected = states(interpret, problem, optimizer, 6)
    assert found.diverged_at.tolist() == expected.diverged_at.tolist()
    assert (found.diverged_at > 0).all()
    grid = WholeGrid(torch.zeros(50, 2), torch.zeros(2, 50, 1))
    assert same(interpret(advance, problem, optimizer, found, grid, 1).diverged_at, found.diverged_at)


@pytest.mark.parametrize("name", ["siren"], indirect=True)
def test_a_stopped_field_stays(fused: Callable[..., Fits]) -> None:
    """A field that is good enough keeps its rows to the end; another goes on."""
    found = fused([0, 1], stop_psnr=1.0, rungs=(10, 12))
    assert (found.stopped_at >= 0).all()
    assert same(found.parameters[0], found.parameters[1])
    going = fused([0, 1], rungs=(10, 12))
    assert not same(going.parameters[0], going.parameters[1])


def test_losses_are_eagers(interpret: Interpret, field: NeuralField) -> None:
    """The loss over the whole grid agrees with torch's, for points of each field's own too."""
    random = torch.Generator().manual_seed(1)
    grid = WholeGrid(torch.rand(2, 80, 2, generator=random), torch.rand(2, 70, 1, generator=random))
    rows = Random().rows(field, seed=1, ids=range(2), view=0)
    for loss in ("mse", "bce"):
        problem = Problem(field, loss, "adamw")  # type: ignore[arg-type]  # a name of the loop
        torch.testing.assert_close(interpret(losses, problem, rows, grid), grid_loss(problem, rows, grid))


def test_the_fingerprint_tells_how_it_was_computed(interpret: Interpret) -> None:
    """The interpreter's bytes are never taken for a device's; products and version are named."""
    found = interpret(marks)
    assert found["device"] == "triton-interpreter"
    assert found["products"] == "tf32x3"
    assert set(found) == {"device", "products", "triton"}


def test_what_does_not_fit_is_refused_with_its_reason(interpret: Interpret) -> None:
    """A field too wide, and one there is no kernel for, are told apart; those that fit have no hindrance."""
    assert interpret(why_not, Siren(2, 1, hidden=64)) is None
    assert "hidden = 1000" in interpret(why_not, Siren(2, 1, hidden=1000))
    assert "at least 2" in interpret(why_not, RffNet(2, 1, layers=1))
    assert "out_dim = 9" in interpret(why_not, Mfn(2, 9))
