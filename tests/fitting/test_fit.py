"""Laws of fits: a field's bytes are its own, whatever it is computed with."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from nefstudy.config import FitConfig
from nefstudy.errors import BadConfig, BadSignals
from nefstudy.fields.field import NeuralField, unflatten
from nefstudy.fields.loss import mse
from nefstudy.fields.siren import Siren
from nefstudy.fitting.fit import Fits, fit_fields, psnr_of_loss
from nefstudy.signals.signal import Signals

Fit = Callable[..., Fits]
Configure = Callable[..., FitConfig]


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Equality of bytes, NaN included."""
    return one.shape == other.shape and one.numpy().tobytes() == other.numpy().tobytes()


@pytest.mark.parametrize("chunk", [1, 2, 3, 8, 64])
def test_any_chunk_size_gives_the_same_bytes(fit: Fit, chunk: int) -> None:
    """Nine fields in chunks of any size are, to the bit, the nine fields in one chunk of nine."""
    rows = list(range(9))
    assert same(fit(rows, chunk=chunk).parameters, fit(rows, chunk=9).parameters)


def test_a_field_alone_is_the_field_among_others(fit: Fit) -> None:
    """One signal fitted alone has the bytes it has among others, in any order; another signal has not."""
    among = fit([3, 0, 5, 1, 4])
    assert same(fit([5]).parameters, among.parameters[:, 2:3])
    assert same(fit([4, 1, 5, 0, 3]).parameters.flip(1).contiguous(), among.parameters)
    assert not same(fit([2]).parameters, among.parameters[:, 2:3])


@pytest.mark.parametrize("grid", [(7, 5), (7, 7), (5, 5), (3, 7)])
def test_no_number_of_points_is_special(
    signals: Signals, configure: Configure, field: NeuralField, grid: tuple[int, int]
) -> None:
    """Points that fill no vector: a field's bytes still depend on neither lane nor chunk."""
    values = signals.originals(np.arange(20)).reshape(20, 8, 8, 1)[:, : grid[0], : grid[1]].copy()
    odd = replace(signals.first(20), card=replace(signals.card, grid=grid), values=values)
    everyone = np.arange(20)
    fits = fit_fields(field, odd, configure(), rows=everyone)
    turned = fit_fields(field, odd, configure(), rows=everyone[::-1].copy())
    assert same(fits.parameters, turned.parameters.flip(1).contiguous())
    assert same(fits.losses, turned.losses.flip(1).contiguous())
    assert same(fits.parameters, fit_fields(field, odd, configure(chunk=3), rows=everyone).parameters)


def test_rungs_of_a_ladder_are_separate_fits(fit: Fit) -> None:
    """A snapshot at a step count is, to the bit, a fit of that many steps; rung 0 is the start."""
    ladder = fit(rungs=(0, 1, 5, 12))
    for i, steps in enumerate(ladder.rungs):
        alone = fit(rungs=(steps,))
        assert same(alone.parameters[0], ladder.parameters[i])
        assert same(alone.losses[0], ladder.losses[i])
    assert len({row.numpy().tobytes() for row in ladder.parameters}) == 4


def test_threads_do_not_change_bytes(fit: Fit) -> None:
    """Two threads compute what one does."""
    assert same(fit(threads=2).parameters, fit(threads=1).parameters)


def test_fitting_lowers_the_loss_of_every_field(fit: Fit) -> None:
    """After some steps each field is closer to its signal than at its start."""
    losses = fit(rungs=(0, 12), lr=1e-2).losses
    assert (losses[1] < losses[0]).all()


def test_losses_are_those_of_the_fields(fit: Fit, field: NeuralField, signals: Signals) -> None:
    """The loss at a rung is the mean squared error of the field at its parameters."""
    fits = fit()
    outputs = field.forward(unflatten(field, fits.parameters[0]), torch.from_numpy(signals.coordinates()))
    expected = mse(outputs, torch.from_numpy(signals.targets(np.arange(6))))[0]
    torch.testing.assert_close(fits.losses[0], expected)


def test_psnr_of_loss_is_the_psnr_of_unclipped_values(fit: Fit, field: NeuralField, signals: Signals) -> None:
    """For one channel, decibels from the standardised loss are those of values on [0, 1]."""
    fits = fit()
    outputs = field.forward(unflatten(field, fits.parameters[0]), torch.from_numpy(signals.coordinates())).numpy()
    values = outputs * signals.card.std[0] + signals.card.mean[0]
    error = np.square(values - signals.originals(np.arange(6))).mean(axis=(1, 2))
    np.testing.assert_allclose(psnr_of_loss(fits.losses[0], signals).numpy(), -10 * np.log10(error), rtol=1e-5)


def test_views_of_a_signal_differ_by_their_random_start_only(fit: Fit) -> None:
    """Another view starts elsewhere; with a shared start all views are the same."""
    assert not same(fit(view=1).parameters, fit(view=0).parameters)
    assert same(fit(view=1, init="shared").parameters, fit(view=0, init="shared").parameters)


def test_a_diverging_field_is_flagged_and_alone(fit: Fit, signals: Signals) -> None:
    """A signal too large to fit turns NaN and is flagged with the step; its neighbours keep their bytes."""
    values = signals.originals(np.arange(6)).reshape(6, 8, 8, 1).copy()
    well = replace(signals.first(6), values=values)
    values = values.copy()
    values[2] = 1e25  # its squared error overflows float32
    ill = replace(well, values=values)
    expected, found = fit(of=well, rungs=(0, 3)), fit(of=ill, rungs=(0, 3))
    others = [0, 1, 3, 4, 5]
    assert same(found.parameters[:, others], expected.parameters[:, others])
    assert found.diverged_at.tolist() == [-1, -1, 0, -1, -1, -1]
    assert torch.isnan(found.parameters[:, 2]).all()
    assert torch.isnan(found.losses[:, 2]).all()
    assert (expected.diverged_at == -1).all()


@pytest.mark.parametrize("chunk", [2, 4])
def test_the_step_of_divergence_does_not_depend_on_the_ladder(
    signals: Signals, configure: Configure, field: NeuralField, chunk: int
) -> None:
    """A rate that blows up by plain descent is flagged at one step, whatever the rungs and chunks."""
    sgd = configure(lr=1e9).dataset.optimizer.model_copy(update={"name": "sgd"})
    ladders = [configure(optimizer=sgd, rungs=rungs, chunk=chunk) for rungs in ((40,), (0, 1, 2, 3, 40))]
    coarse, fine = (fit_fields(field, signals, config, rows=np.arange(4)) for config in ladders)
    if isinstance(field, Siren):
        assert torch.equal(coarse.diverged_at, fine.diverged_at)
        return  # a sine never overflows: huge parameters still give finite losses
    assert (coarse.diverged_at > 0).all()
    assert torch.equal(coarse.diverged_at, fine.diverged_at)
    for i, rung in enumerate(fine.rungs):
        gone = torch.isnan(fine.parameters[i]).all(dim=1)
        assert torch.equal(gone, fine.diverged_at <= rung)


def test_drawn_points_are_each_signals_own(fit: Fit) -> None:
    """Minibatches of points keep the chunk, order and ladder laws, and are not the whole grid."""
    rows = list(range(5))
    drawn = fit(rows, batch_points=16, rungs=(4, 9))
    assert same(fit(rows, batch_points=16, rungs=(4, 9), chunk=2).parameters, drawn.parameters)
    assert same(fit([3, 1], batch_points=16, rungs=(9,)).parameters[0], drawn.parameters[1, [3, 1]])
    assert not same(fit(rows, rungs=(4, 9)).parameters, drawn.parameters)


def test_progress_counts_every_field_once(signals: Signals, configure: Configure, field: NeuralField) -> None:
    """Progress rises by chunks to the total, with a mean PSNR."""
    seen: list[tuple[int, int, float]] = []
    fit_fields(field, signals, configure(chunk=4), rows=np.arange(10), on_progress=lambda *now: seen.append(now))
    assert [(done, total) for done, total, _ in seen] == [(4, 10), (8, 10), (10, 10)]
    assert all(0 < decibels < 60 for *_, decibels in seen)


def test_bad_input_is_refused_by_name(signals: Signals, configure: Configure, field: NeuralField) -> None:
    """No rows, wrong dimensions, NaN values, too many points: each refused in one line."""
    rows = np.arange(3)
    with pytest.raises(BadSignals, match="no signals to fit"):
        fit_fields(field, signals, configure(), rows=rows[:0])
    with pytest.raises(BadSignals, match="2 coordinates to 1 channels, the field 3 to 1"):
        fit_fields(Siren(3, 1), signals, configure(), rows=rows)
    with pytest.raises(BadConfig, match="batch_points = 65: must be at most a signal's 64"):
        fit_fields(field, signals, configure(batch_points=65), rows=rows)
    values = signals.originals(rows).reshape(3, 8, 8, 1).copy()
    values[1, 4, 4] = np.nan
    broken = replace(signals.first(3), values=values)
    with pytest.raises(BadSignals, match=f"signal {signals.ids[1]} of digits8: a value is NaN"):
        fit_fields(field, broken, configure(), rows=rows)
