"""Laws of the Signals value: coordinates, scaling, selection."""

import numpy as np

from nefstudy.config import SignalsConfig
from nefstudy.signals.image_set import image_set
from nefstudy.signals.signal import grid_coordinates


def _signals(values: np.ndarray):
    return image_set(
        values,
        np.arange(len(values)) % 2,
        config=SignalsConfig(name="drawn"),
        class_names=("even", "odd"),
        license="none",
        source="drawn",
    )


def test_coordinates_run_over_the_grid_as_its_values_do():
    """The point of row r, column c stands at flat place r * width + c, and the corners are the ends of [-1, 1]."""
    points = grid_coordinates((3, 5)).reshape(3, 5, 2)
    np.testing.assert_array_equal(points[:, 0, 0], [-1, 0, 1])
    np.testing.assert_array_equal(points[0, :, 1], [-1, -0.5, 0, 0.5, 1])
    assert (points[1, :, 0] == 0).all()


def test_coordinates_of_a_solid_have_three_axes():
    """A three-axis grid gives three coordinates, the last varying fastest."""
    points = grid_coordinates((2, 3, 4))
    assert points.shape == (24, 3)
    np.testing.assert_array_equal(np.flatnonzero(np.diff(points[:, 2]) < 0) % 4, 3)


def test_targets_undo_to_the_originals():
    """Targets times deviation plus mean are the values on [0, 1], per channel."""
    signals = _signals(np.random.default_rng(1).integers(0, 256, (40, 5, 4, 3), dtype=np.uint8))
    rows = np.array([7, 3, 3])
    back = signals.targets(rows) * np.float32(signals.card.std) + np.float32(signals.card.mean)
    np.testing.assert_allclose(back, signals.values[rows].reshape(3, 20, 3) / 255, atol=1e-6)
    assert signals.targets(rows).dtype == np.float32


def test_bytes_and_floats_of_the_same_image_are_the_same_signal():
    """Values stored as uint8 and as float32 / 255 give the same originals."""
    values = np.random.default_rng(2).integers(0, 256, (40, 5, 4, 1), dtype=np.uint8)
    rows = np.arange(40)
    floats = _signals(values.astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(_signals(values).originals(rows), floats.originals(rows))
    np.testing.assert_allclose(_signals(values).card.mean, floats.card.mean, rtol=1e-6)
    np.testing.assert_allclose(_signals(values).card.std, floats.card.std, rtol=1e-6)


def test_selecting_keeps_each_signal_together():
    """Selected rows carry their own values, id, label and split, in the order asked for."""
    signals = _signals(np.random.default_rng(3).integers(0, 256, (40, 5, 4, 1), dtype=np.uint8))
    chosen = signals.select(np.array([9, 2]))
    assert chosen.ids.tolist() == [9, 2]
    np.testing.assert_array_equal(chosen.values, signals.values[[9, 2]])
    np.testing.assert_array_equal(chosen.labels, signals.labels[[9, 2]])
    np.testing.assert_array_equal(chosen.split, signals.split[[9, 2]])
    assert (len(chosen), chosen.in_dim, chosen.out_dim) == (2, 2, 1)
