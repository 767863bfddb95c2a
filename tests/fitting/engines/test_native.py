"""Tests of the native engine: it has the eager engine's properties and agrees with its results up to rounding."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from nefstudy.config import FitConfig, OptimizerConfig
from nefstudy.errors import BadConfig
from nefstudy.fields.field import NeuralField
from nefstudy.fields.mfn import Mfn
from nefstudy.fields.rffnet import RffNet
from nefstudy.fields.siren import Siren
from nefstudy.fitting.engines import eager
from nefstudy.fitting.engines.choice import choose
from nefstudy.fitting.engines.native import build
from nefstudy.fitting.engines.native import engine as native
from nefstudy.fitting.fit import Fits
from nefstudy.fitting.ladder import grid_loss
from nefstudy.fitting.problem import DrawnPoints, Problem, WholeGrid
from nefstudy.fitting.step import State, initial_state
from nefstudy.inits.drawn import RandomInit, SharedInit
from nefstudy.signals.signal import Signals

pytestmark = pytest.mark.slow
Fit = Callable[..., Fits]
Configure = Callable[..., FitConfig]

SIZES: tuple[NeuralField, ...] = (
    Siren(2, 1, hidden=1, layers=2),
    Siren(1, 2, hidden=33, layers=2),
    Siren(3, 4, hidden=128, layers=6),
    Siren(2, 3, hidden=64, omega_0=30.0),
    RffNet(2, 1, hidden=2, layers=1),
    RffNet(3, 2, hidden=34, layers=2),
    RffNet(3, 3, hidden=128, layers=3, std=0.5),
    RffNet(2, 4, hidden=46, layers=4, train_frequencies=False),
    Mfn(2, 1, hidden=3, filters=1),
    Mfn(1, 4, hidden=17, filters=2),
    Mfn(3, 3, hidden=128, filters=3),
    Mfn(2, 2, hidden=40, filters=6),
)
"""Fields of all numbers of coordinates and channels, whose widths fill vectors in part, in pairs and in triples."""

SOLID: dict[str, NeuralField] = {
    "siren": Siren(3, 1, hidden=8),
    "rffnet": RffNet(3, 1, hidden=8, layers=2),
    "mfn": Mfn(3, 1, hidden=8, filters=2),
}


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape and one.numpy().tobytes() == other.numpy().tobytes()


def grid_of(field: NeuralField, points: int, lanes: int = 2) -> WholeGrid:
    """Return random points and targets in [0, 1]; the lanes share the points."""
    random = torch.Generator().manual_seed(3)
    coords = torch.rand(points, field.in_dim, generator=random) * 2 - 1
    return WholeGrid(coords, torch.rand(lanes, points, field.out_dim, generator=random))


def states(problem: Problem, optimizer: OptimizerConfig, steps: int, points: int = 50) -> tuple[State, State, State]:
    """Return two lanes in three states: initial, after `steps` native steps, and after `steps` eager steps."""
    grid = grid_of(problem.field, points)
    initial = initial_state(RandomInit().rows(problem.field, seed=0, ids=range(2), view=0))
    advanced = (engine.advance(problem, optimizer, initial, grid, steps) for engine in (native, eager))
    return initial, *advanced


def relative_difference(initial: State, fitted: State, expected: State) -> float:
    """Return the native engine's error relative to the change since the init, as the maximum over both lanes."""
    change = (expected.rows - initial.rows).norm(dim=1)
    return float(((fitted.rows - expected.rows).norm(dim=1) / change).max())


@pytest.mark.parametrize("steps", [1, 10, 100])
def test_it_agrees_with_eager(fit: Fit, steps: int) -> None:
    """After 1, 10 and 100 steps, parameters differ from the eager engine's by at most 1e-3 of their total change."""
    fits, expected = (fit(rungs=(0, steps), engine=engine) for engine in ("native", "eager"))
    assert same(fits.parameters[0], expected.parameters[0])
    change = (expected.parameters[1] - expected.parameters[0]).norm(dim=1)
    difference = (fits.parameters[1] - expected.parameters[1]).norm(dim=1)
    assert (difference / change).max() < {1: 1e-5, 10: 1e-4, 100: 1e-3}[steps]
    torch.testing.assert_close(fits.losses, expected.losses, rtol=1e-3, atol=1e-6)


def test_it_reaches_eagers_quality(fit: Fit) -> None:
    """After 1,000 steps, the mean PSNR is within 0.05 dB of the eager engine's."""
    reached, expected = (fit(rungs=(1000,), engine=engine).losses.log10().mean() for engine in ("native", "eager"))
    assert abs(10 * (reached - expected)) < 0.05


@pytest.mark.parametrize("loss", native.LOSSES)
@pytest.mark.parametrize("field", SIZES, ids=str)
def test_no_size_is_special(field: NeuralField, loss: Any) -> None:
    """Fits of any width, depth, dimensions and number of points agree with the eager engine's for every loss.

    The tolerance is for AdamW, whose first steps have the size of the learning rate even where a gradient is rounding.
    """
    for points in (1, 50, 101):
        problem = Problem(field, loss, "adamw")
        difference = relative_difference(*states(problem, OptimizerConfig(lr=1e-3, weight_decay=0.01), 2, points))
        assert difference < 1e-3, points


@pytest.mark.parametrize("field", SIZES, ids=str)
def test_a_gradient_has_float32s_error(field: NeuralField) -> None:
    """The step of plain descent equals the gradient in float64 to 3e-6 of its norm; untrained parameters stay."""
    optimizer = OptimizerConfig(name="sgd", lr=1.0)
    initial, fitted, _ = states(Problem(field, "mse", "sgd"), optimizer, 1)
    grid = grid_of(field, 50)
    double = WholeGrid(grid.coords.double(), grid.targets.double())
    start = initial_state(initial.rows.double())
    expected = eager.advance(Problem(field, "mse", "sgd"), optimizer, start, double, 1)
    gradient = (expected.rows - start.rows).norm(dim=1)
    rounding = 2e-7 * initial.rows.double().norm(dim=1)
    assert ((fitted.rows - expected.rows).norm(dim=1) <= 3e-6 * gradient + rounding).all()
    if isinstance(field, RffNet) and not field.train_frequencies:
        frequencies = field.layout[0].size
        assert same(fitted.rows[:, :frequencies], initial.rows[:, :frequencies])


@pytest.mark.parametrize("width", [4, 8, 16])
@pytest.mark.parametrize("field", [SIZES[1], SIZES[5], SIZES[9]], ids=str)
def test_every_width_of_vectors_agrees(field: NeuralField, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In plain C++, vectors of 4, 8 and 16 numbers give the eager engine's results up to rounding."""
    loaded = build.library(f"-DNEFSTUDY_LANES={width}")
    assert loaded.nefstudy_vector() == b"generic"
    monkeypatch.setattr(native, "library", lambda: loaded)
    for loss in native.LOSSES:
        assert relative_difference(*states(Problem(field, loss, "adamw"), OptimizerConfig(lr=1e-3), 2, 101)) < 1e-4


@pytest.mark.parametrize("chunk", [1, 2, 3, 8, 64])
def test_any_chunk_size_gives_the_same_bytes(fit: Fit, chunk: int) -> None:
    """At every rung, seventy fields have the same bytes for any chunk size."""
    everyone = list(range(70))
    chunked = fit(everyone, chunk=chunk, engine="native", rungs=(3, 9))
    expected = fit(everyone, engine="native", rungs=(3, 9))
    assert same(chunked.parameters, expected.parameters)
    assert same(chunked.losses, expected.losses)


def test_a_field_alone_is_the_field_among_others(fit: Fit) -> None:
    """A field's bytes do not depend on its lane or on the other fields. Another signal yields different bytes."""
    among = fit(list(range(40)), engine="native")
    for row in (0, 5, 7, 8, 39):
        assert same(fit([row], engine="native").parameters[:, 0], among.parameters[:, row])
    reverse = fit(list(range(39, -1, -1)), engine="native")
    assert same(reverse.parameters.flip(1).contiguous(), among.parameters)
    assert not same(among.parameters[:, 0], among.parameters[:, 1])


def test_threads_do_not_change_bytes(fit: Fit) -> None:
    """Fits with one thread and with three threads are bit-identical."""
    assert same(fit(threads=3, engine="native").parameters, fit(threads=1, engine="native").parameters)


def test_rungs_of_a_ladder_are_separate_fits(fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot at a step count is bit-identical to a fit of that many steps, in any number of calls."""
    ladder = fit(rungs=(0, 1, 5, 12), engine="native")
    for i, steps in enumerate(ladder.rungs):
        assert same(fit(rungs=(steps,), engine="native").parameters[0], ladder.parameters[i])
    monkeypatch.setattr(native, "CALL_FLOPS", 1.0)
    assert same(fit(rungs=(12,), engine="native").parameters[0], ladder.parameters[-1])


def test_a_diverging_field_is_alone(fit: Fit, signals: Signals) -> None:
    """A field whose loss overflows is flagged as diverged. The other fields keep their bytes."""
    values = signals.originals(np.arange(6)).reshape(6, 8, 8, 1).copy()
    normal = replace(signals.first(6), values=values)
    values = values.copy()
    values[2] = 1e25
    extreme = replace(normal, values=values)
    expected, fits = (fit(of=of, rungs=(0, 3), engine="native") for of in (normal, extreme))
    others = [0, 1, 3, 4, 5]
    assert same(fits.parameters[:, others], expected.parameters[:, others])
    assert fits.diverged_at.tolist() == [-1, -1, 0, -1, -1, -1]
    assert torch.isnan(fits.parameters[:, 2]).all()


def test_a_field_that_blows_up_is_noticed(field: NeuralField) -> None:
    """The step of divergence is recorded, and later steps do not change it.

    Without sines, whose huge angles differ, it equals the eager engine's.
    """
    problem, optimizer = Problem(field, "mse", "sgd"), OptimizerConfig(name="sgd", lr=1e9)
    _, fitted, expected = states(problem, optimizer, 12)
    assert (fitted.diverged_at > 0).all()
    if isinstance(field, RffNet):
        assert same(fitted.diverged_at, expected.diverged_at)
    later = native.advance(problem, optimizer, fitted, grid_of(field, 50), 1)
    assert same(later.diverged_at, fitted.diverged_at)


def test_the_step_of_divergence_does_not_depend_on_the_ladder(
    fit: Fit, configure: Configure, field: NeuralField
) -> None:
    """A field that diverges under SGD with a huge learning rate is flagged at the same step for any rungs."""
    sgd = configure(lr=1e9).dataset.optimizer.model_copy(update={"name": "sgd"})
    coarse, fine = (fit(optimizer=sgd, rungs=rungs, engine="native") for rungs in ((40,), (0, 1, 2, 3, 40)))
    assert (coarse.diverged_at > 0).all()
    assert torch.equal(coarse.diverged_at, fine.diverged_at)
    assert same(coarse.parameters[0], fine.parameters[-1])


def test_drawn_points_agree_with_eager(fit: Fit) -> None:
    """Fits to drawn points agree with the eager engine's. A field's bytes do not depend on the chunk."""
    drawn = fit(list(range(20)), batch_points=16, engine="native")
    expected = fit(list(range(20)), batch_points=16, engine="eager")
    torch.testing.assert_close(drawn.parameters, expected.parameters, rtol=1e-3, atol=1e-4)
    assert same(fit([17, 3], batch_points=16, engine="native").parameters, drawn.parameters[:, [17, 3]])
    apart = fit(list(range(20)), batch_points=16, engine="native", rungs=(5, 12))
    assert same(apart.parameters[1], drawn.parameters[0])


def test_shapes_are_fitted_to_occupancies(name: str) -> None:
    """Fits of shapes, with cross-entropy and points drawn from two strata, agree with the eager engine's."""
    random = torch.Generator().manual_seed(5)
    inside = torch.arange(80).expand(2, 80).unsqueeze(2) < 40
    grid = WholeGrid(torch.rand(2, 80, 3, generator=random), inside.float())
    problem, optimizer = Problem(SOLID[name], "bce", "adamw"), OptimizerConfig(lr=1e-3)
    initial = initial_state(SharedInit().rows(SOLID[name], seed=0, ids=range(2), view=0))
    draws = [DrawnPoints(grid, count=40, seed=0, ids=range(2), view=0, strata=2) for _ in range(2)]
    fitted = native.advance(problem, optimizer, initial, draws[0], 3)
    assert relative_difference(initial, fitted, eager.advance(problem, optimizer, initial, draws[1], 3)) < 2e-5
    assert not same(fitted.rows[0], fitted.rows[1])


def test_cross_entropy_of_any_logit_is_finite_and_exact() -> None:
    """The loss of logits from -200 to 200 equals the eager engine's, also where an exponential would overflow."""
    field = Mfn(1, 1, hidden=1, filters=1)
    problem = Problem(field, "bce", "adamw")
    rows = torch.tensor([[np.pi / 2, 0.0, 0.0, float(z)] for z in np.linspace(-200, 200, 161)])
    grid = WholeGrid(torch.zeros(2, 1), torch.tensor([[0.0], [1.0]]).expand(len(rows), 2, 1))
    found, expected = native.losses(problem, rows, grid), grid_loss(problem, rows, grid)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)


def test_a_stopped_field_stays(fit: Fit) -> None:
    """A field that has reached the target PSNR keeps its parameters. Without early stopping, they change."""
    stopped = fit([0, 1], stop_psnr=1.0, rungs=(10, 12), engine="native")
    assert (stopped.stopped_at >= 0).all()
    assert same(stopped.parameters[0], stopped.parameters[1])
    free = fit([0, 1], rungs=(10, 12), engine="native")
    assert not same(free.parameters[0], free.parameters[1])


def test_losses_are_eagers(field: NeuralField) -> None:
    """The loss over a whole grid, with different points for each field, equals the eager engine's."""
    random = torch.Generator().manual_seed(1)
    grid = WholeGrid(torch.rand(2, 80, 2, generator=random), torch.rand(2, 70, 1, generator=random))
    rows = RandomInit().rows(field, seed=1, ids=range(2), view=0)
    for loss in native.LOSSES:
        problem = Problem(field, loss, "adamw")
        torch.testing.assert_close(native.losses(problem, rows, grid), grid_loss(problem, rows, grid))


def test_what_is_not_covered_is_refused(
    signals: Signals, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A field with too many units or channels, or of another class, is an error that names what is covered."""

    class Wavy(Siren):
        """A field with another law, which only looks like a SIREN."""

    for other, message in (
        (Siren(2, 1, hidden=1000), "hidden = 1000 is more than the 256"),
        (Mfn(2, 5), "out_dim = 5 is more than the 4"),
        (Wavy(2, 1), "Wavy is not covered, only Siren, RffNet, Mfn"),
    ):
        with pytest.raises(BadConfig, match=f"'native': {message}"):
            choose(configure(engine="native"), other, signals, fields=5)
    monkeypatch.setattr(native, "LOSSES", {"bce": 1})
    with pytest.raises(BadConfig, match="'native': loss 'mse' is not covered, only bce; use engine='auto'"):
        choose(configure(engine="native"), Siren(2, 1), signals, fields=5)


def test_the_fingerprint_names_the_vectors(fit: Fit) -> None:
    """The fingerprint names the instructions of the vectors and the compiler's flags."""
    keys = native.fingerprint_keys()
    assert keys["vector"] in {"avx512", "avx2", "neon", "generic"}
    assert "-ffp-contract=off" in keys["flags"]
