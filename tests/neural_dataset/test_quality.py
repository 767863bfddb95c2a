"""Laws of quality columns of shapes: IoU is of held-out points, each field's own."""

from dataclasses import replace

import numpy as np
import torch

from nefstudy.config import FieldConfig, SignalsConfig
from nefstudy.fields.catalog import build
from nefstudy.neural_dataset.quality import BLOCK, quality_columns
from nefstudy.signals.catalog import load_signals
from nefstudy.signals.signal import Samples, Signals


def few() -> Signals:
    return load_signals(SignalsConfig(name="shapes10", options={"per_class": 4}))


def rows_of(field, count: int) -> torch.Tensor:
    rng = np.random.default_rng(0)
    parts = [np.concatenate([value.reshape(-1) for value in field.init(rng).values()]) for _ in range(count)]
    return torch.from_numpy(np.stack(parts))


def test_iou_is_that_of_the_field_at_its_own_held_out_points():
    """With held-out labels set to what each field says, every IoU is 1; turned round, 0; a shuffled shape, less."""
    signals = few()
    field = build(FieldConfig(name="siren", params={"hidden": 8}), in_dim=3, out_dim=1)
    places = np.arange(BLOCK + 5)
    rows = rows_of(field, len(places))
    samples = signals.samples
    said = np.zeros_like(samples.occupied)
    for place, row in zip(places, rows, strict=True):
        params = {}
        start = 0
        for parameter in field.layout:
            params[parameter.name] = row[start : start + parameter.size].reshape(1, *parameter.shape)
            start += parameter.size
        logits = field.forward(params, torch.from_numpy(samples.held_out[place].astype(np.float32)))
        said[place] = logits[0, :, 0].numpy() > 0

    def iou(occupied: np.ndarray) -> np.ndarray:
        changed = replace(signals, samples=Samples(samples.fitted, samples.held_out, occupied))
        return quality_columns(field, changed, rows, places=places)["iou"]

    assert iou(said).min() > 0.99
    assert iou(~said).max() < 0.01
    assert iou(np.roll(said, 1, axis=0)).min() < 0.9


def test_a_diverged_shape_has_no_iou():
    """A row of NaN gives NaN, and its neighbours keep their figures."""
    signals = few()
    field = build(FieldConfig(name="mfn", params={"hidden": 8}), in_dim=3, out_dim=1)
    rows = rows_of(field, 4)
    before = quality_columns(field, signals, rows, places=np.arange(4))["iou"]
    rows[1] = torch.nan
    after = quality_columns(field, signals, rows, places=np.arange(4))["iou"]
    assert np.isnan(after[1])
    np.testing.assert_array_equal(np.delete(after, 1), np.delete(before, 1))
