"""Tests of the Signals class: coordinates, scaling and selection."""

import numpy as np

from nefstudy.config import SignalsConfig
from nefstudy.signals.image_set import image_set
from nefstudy.signals.signal import grid_coords


def _signals(values: np.ndarray):
    return image_set(
        values,
        np.arange(len(values)) % 2,
        config=SignalsConfig(name="drawn"),
        class_names=("even", "odd"),
        license="none",
        source="drawn",
    )


def test_coordinates_have_the_order_of_the_values():
    """Coordinates are in the order of the values, with the corners at the ends of [-1, 1].

    The point in row r and column c has the flat index r * width + c.
    """
    points = grid_coords((3, 5)).reshape(3, 5, 2)
    np.testing.assert_array_equal(points[:, 0, 0], [-1, 0, 1])
    np.testing.assert_array_equal(points[0, :, 1], [-1, -0.5, 0, 0.5, 1])
    assert (points[1, :, 0] == 0).all()


def test_coordinates_of_a_volume_have_three_axes():
    """A grid with three axes gives three coordinates, of which the last varies fastest."""
    points = grid_coords((2, 3, 4))
    assert points.shape == (24, 3)
    np.testing.assert_array_equal(np.flatnonzero(np.diff(points[:, 2]) < 0) % 4, 3)


def test_targets_can_be_inverted_to_the_originals():
    """In each channel, targets times the standard deviation plus the mean equal the values on [0, 1]."""
    signals = _signals(np.random.default_rng(1).integers(0, 256, (40, 5, 4, 3), dtype=np.uint8))
    rows = np.array([7, 3, 3])
    back = signals.targets(rows) * np.float32(signals.card.std) + np.float32(signals.card.mean)
    np.testing.assert_allclose(back, signals.values[rows].reshape(3, 20, 3) / 255, atol=1e-6)
    assert signals.targets(rows).dtype == np.float32


def test_bytes_and_floats_of_the_same_image_are_the_same_signal():
    """Images stored as bytes and as floats have equal values and nearly equal means and standard deviations."""
    values = np.random.default_rng(2).integers(0, 256, (40, 5, 4, 1), dtype=np.uint8)
    rows = np.arange(40)
    floats = _signals(values.astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(_signals(values).originals(rows), floats.originals(rows))
    np.testing.assert_allclose(_signals(values).card.mean, floats.card.mean, rtol=1e-6)
    np.testing.assert_allclose(_signals(values).card.std, floats.card.std, rtol=1e-6)


def test_selecting_keeps_each_signal_together():
    """Selected rows keep their values, id, label and split, in the requested order."""
    signals = _signals(np.random.default_rng(3).integers(0, 256, (40, 5, 4, 1), dtype=np.uint8))
    chosen = signals.select(np.array([9, 2]))
    assert chosen.ids.tolist() == [9, 2]
    np.testing.assert_array_equal(chosen.values, signals.values[[9, 2]])
    np.testing.assert_array_equal(chosen.labels, signals.labels[[9, 2]])
    np.testing.assert_array_equal(chosen.split, signals.split[[9, 2]])
    assert (len(chosen), chosen.in_dim, chosen.out_dim) == (2, 2, 1)
