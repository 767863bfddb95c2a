"""Properties that every fit must satisfy: a field's bytes do not depend on the other fields in the computation."""

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
    """Return whether two tensors are equal byte for byte, including NaN."""
    return one.shape == other.shape and one.numpy().tobytes() == other.numpy().tobytes()


@pytest.mark.parametrize("chunk", [1, 2, 3, 8, 64])
def test_any_chunk_size_gives_the_same_bytes(fit: Fit, chunk: int) -> None:
    """Nine fields in chunks of any size are bit-identical to the same nine fields in one chunk."""
    rows = list(range(9))
    assert same(fit(rows, chunk=chunk).parameters, fit(rows, chunk=9).parameters)


def test_a_field_alone_is_the_field_among_others(fit: Fit) -> None:
    """A signal's field has the same bytes whether fitted alone or among others. Another signal's field differs."""
    among = fit([3, 0, 5, 1, 4])
    assert same(fit([5]).parameters, among.parameters[:, 2:3])
    assert same(fit([4, 1, 5, 0, 3]).parameters.flip(1).contiguous(), among.parameters)
    assert not same(fit([2]).parameters, among.parameters[:, 2:3])


@pytest.mark.parametrize("grid", [(7, 5), (7, 7), (5, 5), (3, 7)])
def test_no_number_of_points_is_special(
    signals: Signals, configure: Configure, field: NeuralField, grid: tuple[int, int]
) -> None:
    """Even if the number of points is not a multiple of the vector size, the bytes do not depend on lane or chunk."""
    values = signals.originals(np.arange(20)).reshape(20, 8, 8, 1)[:, : grid[0], : grid[1]].copy()
    odd = replace(signals.first(20), card=replace(signals.card, grid=grid), values=values)
    everyone = np.arange(20)
    fits = fit_fields(field, odd, configure(), rows=everyone)
    reverse = fit_fields(field, odd, configure(), rows=everyone[::-1].copy())
    assert same(fits.parameters, reverse.parameters.flip(1).contiguous())
    assert same(fits.losses, reverse.losses.flip(1).contiguous())
    assert same(fits.parameters, fit_fields(field, odd, configure(chunk=3), rows=everyone).parameters)


def test_rungs_of_a_ladder_are_separate_fits(fit: Fit) -> None:
    """A snapshot at a step count is bit-identical to a separate fit of that many steps."""
    ladder = fit(rungs=(0, 1, 5, 12))
    for i, steps in enumerate(ladder.rungs):
        alone = fit(rungs=(steps,))
        assert same(alone.parameters[0], ladder.parameters[i])
        assert same(alone.losses[0], ladder.losses[i])
    assert len({row.numpy().tobytes() for row in ladder.parameters}) == 4


def test_threads_do_not_change_bytes(fit: Fit) -> None:
    """Fits with one thread and with two threads are bit-identical."""
    assert same(fit(threads=2).parameters, fit(threads=1).parameters)


def test_fitting_lowers_the_loss_of_every_field(fit: Fit) -> None:
    """After a few steps each field has a lower loss than at its init."""
    losses = fit(rungs=(0, 12), lr=1e-2).losses
    assert (losses[1] < losses[0]).all()


def test_losses_are_those_of_the_fields(fit: Fit, field: NeuralField, signals: Signals) -> None:
    """The loss at a rung is the field's mean squared error with the parameters of that rung."""
    fits = fit()
    outputs = field.forward(unflatten(field, fits.parameters[0]), torch.from_numpy(signals.grid_coords()))
    expected = mse(outputs, torch.from_numpy(signals.targets(np.arange(6))))[0]
    torch.testing.assert_close(fits.losses[0], expected)


def test_psnr_of_loss_is_the_psnr_of_unclipped_values(fit: Fit, field: NeuralField, signals: Signals) -> None:
    """For one channel, the PSNR computed from the standardized loss equals that computed from the values on [0, 1]."""
    fits = fit()
    outputs = field.forward(unflatten(field, fits.parameters[0]), torch.from_numpy(signals.grid_coords())).numpy()
    values = outputs * signals.card.std[0] + signals.card.mean[0]
    error = np.square(values - signals.originals(np.arange(6))).mean(axis=(1, 2))
    np.testing.assert_allclose(psnr_of_loss(fits.losses[0], signals).numpy(), -10 * np.log10(error), rtol=1e-5)


def test_views_of_a_signal_differ_by_their_random_start_only(fit: Fit) -> None:
    """Views of a signal differ only by their random init. With a shared init, all views are identical."""
    assert not same(fit(view=1).parameters, fit(view=0).parameters)
    assert same(fit(view=1, init="shared").parameters, fit(view=0, init="shared").parameters)


def test_a_diverging_field_is_flagged_and_alone(fit: Fit, signals: Signals) -> None:
    """A field whose loss overflows becomes NaN and is flagged with the step. The other fields keep their bytes."""
    values = signals.originals(np.arange(6)).reshape(6, 8, 8, 1).copy()
    normal = replace(signals.first(6), values=values)
    values = values.copy()
    values[2] = 1e25  # its squared error overflows float32
    extreme = replace(normal, values=values)
    expected, fits = fit(of=normal, rungs=(0, 3)), fit(of=extreme, rungs=(0, 3))
    others = [0, 1, 3, 4, 5]
    assert same(fits.parameters[:, others], expected.parameters[:, others])
    assert fits.diverged_at.tolist() == [-1, -1, 0, -1, -1, -1]
    assert torch.isnan(fits.parameters[:, 2]).all()
    assert torch.isnan(fits.losses[:, 2]).all()
    assert (expected.diverged_at == -1).all()


@pytest.mark.parametrize("chunk", [2, 4])
def test_the_step_of_divergence_does_not_depend_on_the_ladder(
    signals: Signals, configure: Configure, field: NeuralField, chunk: int
) -> None:
    """A field that diverges under SGD with a huge learning rate is flagged at the same step for any rungs."""
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
    """Fits to randomly drawn points do not depend on the chunk, the order of the signals or the rungs.

    They differ from fits to the whole grid.
    """
    rows = list(range(5))
    drawn = fit(rows, batch_points=16, rungs=(4, 9))
    assert same(fit(rows, batch_points=16, rungs=(4, 9), chunk=2).parameters, drawn.parameters)
    assert same(fit([3, 1], batch_points=16, rungs=(9,)).parameters[0], drawn.parameters[1, [3, 1]])
    assert not same(fit(rows, rungs=(4, 9)).parameters, drawn.parameters)


def test_progress_counts_every_field_once(signals: Signals, configure: Configure, field: NeuralField) -> None:
    """After every chunk, a fit reports how many fields are finished, the total, and their mean PSNR."""
    seen: list[tuple[int, int, float]] = []
    fit_fields(field, signals, configure(chunk=4), rows=np.arange(10), on_progress=lambda *now: seen.append(now))
    assert [(done, total) for done, total, _ in seen] == [(4, 10), (8, 10), (10, 10)]
    assert all(0 < decibels < 60 for *_, decibels in seen)


def test_bad_input_is_refused_by_name(signals: Signals, configure: Configure, field: NeuralField) -> None:
    """Empty input, wrong dimensions, NaN values and too many drawn points are each rejected with a one-line error."""
    rows = np.arange(3)
    with pytest.raises(BadSignals, match="no signals"):
        fit_fields(field, signals, configure(), rows=rows[:0])
    with pytest.raises(BadSignals, match=r"2 coordinates to 1 .*3 to 1"):
        fit_fields(Siren(3, 1), signals, configure(), rows=rows)
    with pytest.raises(BadConfig, match=r"batch_points = 65 .*64"):
        fit_fields(field, signals, configure(batch_points=65), rows=rows)
    values = signals.originals(rows).reshape(3, 8, 8, 1).copy()
    values[1, 4, 4] = np.nan
    broken = replace(signals.first(3), values=values)
    with pytest.raises(BadSignals, match=f"{signals.ids[1]} of digits8.*NaN"):
        fit_fields(field, broken, configure(), rows=rows)
