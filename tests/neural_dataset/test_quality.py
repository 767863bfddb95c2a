"""Tests of quality columns: IoU is computed on held-out points of each shape, and constant fields are counted."""

from dataclasses import replace

import numpy as np
import torch

from nefstudy.config import FieldConfig, SignalsConfig
from nefstudy.fields.catalog import build
from nefstudy.neural_dataset.quality import BLOCK, is_constant, quality_columns
from nefstudy.signals.catalog import load_signals
from nefstudy.signals.samples import Samples
from nefstudy.signals.signal import Signals

from ..present import present


def few() -> Signals:
    return load_signals(SignalsConfig(name="shapes10", options={"per_class": 4}))


def parameters_of(field, count: int) -> torch.Tensor:
    rng = np.random.default_rng(0)
    parts = [np.concatenate([value.reshape(-1) for value in field.init(rng).values()]) for _ in range(count)]
    return torch.from_numpy(np.stack(parts))


def test_iou_is_that_of_the_field_at_its_own_held_out_points():
    """A field's IoU is computed on the held-out points of its shape.

    It is 1 if the held-out labels equal the predictions, 0 if they are inverted, and lower for another shape.
    """
    signals = few()
    field = build(FieldConfig(name="siren", params={"hidden": 8}), in_dim=3, out_dim=1)
    rows = np.arange(BLOCK + 5)
    parameters = parameters_of(field, len(rows))
    samples = present(signals.samples)
    predicted = np.zeros_like(samples.occupied)
    for row, flat in zip(rows, parameters, strict=True):
        params = {}
        start = 0
        for parameter in field.layout:
            params[parameter.name] = flat[start : start + parameter.size].reshape(1, *parameter.shape)
            start += parameter.size
        logits = field.forward(params, torch.from_numpy(samples.held_out[row].astype(np.float32)))
        predicted[row] = logits[0, :, 0].numpy() > 0

    def iou(occupied: np.ndarray) -> np.ndarray:
        changed = replace(signals, samples=Samples(samples.fitted, samples.held_out, occupied))
        return quality_columns(field, changed, parameters, rows=rows)["iou"]

    assert iou(predicted).min() > 0.99
    assert iou(~predicted).max() < 0.01
    assert iou(np.roll(predicted, 1, axis=0)).min() < 0.9


def test_a_diverged_shape_has_no_iou():
    """A row of NaN has an IoU of NaN, and the IoU of the other rows is unchanged."""
    signals = few()
    field = build(FieldConfig(name="mfn", params={"hidden": 8}), in_dim=3, out_dim=1)
    parameters = parameters_of(field, 4)
    before = quality_columns(field, signals, parameters, rows=np.arange(4))["iou"]
    parameters[1] = torch.nan
    after = quality_columns(field, signals, parameters, rows=np.arange(4))["iou"]
    assert np.isnan(after[1])
    np.testing.assert_array_equal(np.delete(after, 1), np.delete(before, 1))


def test_a_field_whose_units_are_all_inactive_is_constant():
    """A field is constant if its reconstruction has no variance, at any level and in several channels.

    A field that varies in one channel or by little is not constant, and a diverged field is neither.
    """
    signals = load_signals(SignalsConfig(name="digits8", subset=20))
    field = build(FieldConfig(name="rffnet", params={"hidden": 8, "layers": 2}), in_dim=2, out_dim=1)
    parameters = parameters_of(field, 5)
    begin = 0
    for parameter in field.layout:
        if parameter.name == "bias_0":
            parameters[1, begin : begin + parameter.size] = -1e3  # below every input of the ReLU units
        begin += parameter.size
    parameters[2], parameters[3] = 0.0, torch.nan
    assert quality_columns(field, signals, parameters, rows=np.arange(5))["constant"].tolist() == [0, 1, 1, -1, 0]
    outputs = np.full((3, 4, 2), 0.7, dtype=np.float32)
    outputs[1, 2, 1], outputs[2, 3, 0] = 0.7001, np.nan
    assert is_constant(outputs).tolist() == [True, False, False]
    outputs[0, :2, 0] = np.inf, -np.inf
    assert not is_constant(outputs).any()


def test_a_kind_that_predicts_nothing_leaves_constants_unknown():
    """The column `constant` is computed from all predictions that a kind requests, and is -1 if it requests none."""
    signals = load_signals(SignalsConfig(name="digits8", subset=20))
    field = build(FieldConfig(name="siren", params={"hidden": 4}), in_dim=2, out_dim=1)
    parameters, rows = parameters_of(field, 3), np.arange(3)
    corner = np.zeros((2, 2), dtype=np.float32)

    def measured(*points: np.ndarray) -> list[int]:
        def measure(selected, predict):
            for each in points:
                predict(each)
            return {"psnr": np.zeros(len(selected))}

        kind = replace(signals.kind, quality=signals.kind.quality[:1], measure=measure)
        return quality_columns(field, replace(signals, kind=kind), parameters, rows=rows)["constant"].tolist()

    assert measured() == [-1] * 3
    assert measured(corner) == [1] * 3
    assert measured(corner, signals.grid_coords()) == measured(signals.grid_coords(), corner) == [0] * 3
