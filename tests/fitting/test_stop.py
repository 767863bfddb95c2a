"""Tests of early stopping at a PSNR."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from nefstudy.config import FitConfig, SignalsConfig
from nefstudy.errors import BadConfig
from nefstudy.evaluation.reconstruction import psnr
from nefstudy.fields.field import NeuralField, unflatten
from nefstudy.fields.siren import Siren
from nefstudy.fitting.fit import Fits, fit_fields
from nefstudy.signals.catalog import load_signals
from nefstudy.signals.signal import Signals

Fit = Callable[..., Fits]
TARGET = 13.0
RUNGS = (0, 10, 20, 35, 60)


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.numpy().tobytes() == other.numpy().tobytes()


def decibels(field: NeuralField, signals: Signals, rows: torch.Tensor) -> np.ndarray:
    outputs = field.forward(unflatten(field, rows), torch.from_numpy(signals.grid_coords())).numpy()
    return psnr(outputs * signals.card.std[0] + signals.card.mean[0], signals.originals(np.arange(len(rows))))


def test_a_field_stops_at_the_first_check_it_passes(fit: Fit, field: NeuralField, signals: Signals) -> None:
    """Until a field stops, its bytes equal those without early stopping. After it stops, its bytes do not change."""
    free, stopped = fit(lr=1e-2, rungs=RUNGS), fit(lr=1e-2, rungs=RUNGS, stop_psnr=TARGET)
    checked = fit(lr=1e-2, rungs=tuple(range(0, 61, 10))).parameters
    good = np.stack([decibels(field, signals, rows) >= TARGET for rows in checked])
    first = np.where(good.any(axis=0), good.argmax(axis=0) * 10, -1)
    assert stopped.stopped_at.tolist() == first.tolist()
    assert len(set(first)) > 1
    for i, rung in enumerate(RUNGS):
        for lane, step in enumerate(first):
            source = free.parameters[i] if step < 0 or rung <= step else checked[step // 10]
            assert same(stopped.parameters[i, lane], source[lane])


def test_stopping_keeps_the_laws_of_fits(fit: Fit) -> None:
    """Chunks, order and rungs change neither the step at which a field stops nor its bytes."""
    whole = fit(lr=1e-2, rungs=RUNGS, stop_psnr=TARGET)
    parts = fit([4, 1, 0], lr=1e-2, rungs=(35,), stop_psnr=TARGET, chunk=2)
    assert same(parts.parameters[0], whole.parameters[3, [4, 1, 0]])
    by_then = torch.where(whole.stopped_at > 35, -1, whole.stopped_at)
    assert torch.equal(parts.stopped_at, by_then[[4, 1, 0]])


def test_a_fit_that_is_all_good_takes_no_more_steps(fit: Fit) -> None:
    """Once every field has stopped, a fit takes no further steps, even if a rung of a million steps remains."""
    fits = fit(rungs=(0, 1_000_000), stop_psnr=1.0)
    assert (fits.stopped_at == 0).all()
    assert same(fits.parameters[0], fits.parameters[1])


def test_shapes_have_no_psnr_to_stop_at(configure: Callable[..., FitConfig]) -> None:
    """Early stopping at a PSNR is rejected for shapes."""
    shapes = load_signals(SignalsConfig(name="shapes10", options={"per_class": 3}))
    with pytest.raises(BadConfig, match=r"stop_psnr = 20\.0: shapes10"):
        fit_fields(Siren(3, 1), shapes, configure(stop_psnr=20.0), rows=np.arange(2))
