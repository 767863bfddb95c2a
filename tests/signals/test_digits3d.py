"""Laws of inflated digits."""

import numpy as np

from nefstudy.config import SignalsConfig
from nefstudy.signals.catalog import load_signals
from nefstudy.signals.digits import mnist5k_arrays
from nefstudy.signals.digits3d import DEPTH, FLAT, Relief, first_of_each, height_map


def drawn() -> np.ndarray:
    """A bar of ink in rows 4..23, columns 10..15."""
    image = np.zeros((28, 28), dtype=np.uint8)
    image[4:24, 10:16] = 255
    return image


def test_a_digit_is_thickest_in_the_middle_of_its_strokes():
    """Half thickness is DEPTH min(sqrt(distance), FLAT): 0 beside the ink, growing from the edge, then flat."""
    heights = height_map(drawn())
    middle = heights[56]
    assert heights[0].max() == 0
    assert middle.max() == np.float32(DEPTH * FLAT)
    edge = np.flatnonzero(middle)[0]
    assert np.isclose(middle[edge], DEPTH * np.sqrt(0.25))
    assert (np.diff(middle[edge : edge + 8]) >= 0).all()


def test_a_solid_is_occupied_where_its_map_says():
    """Just below the surface is inside, just above is outside, on both sides; up in the image is up in z."""
    solid = Relief(height_map(drawn()))
    top = solid.heights.max()
    x = 2 * 13 / 28 - 1
    z = 1 - 2 * 14 / 28
    points = np.array([[x, s * f * top, z] for s in (-1, 1) for f in (0.95, 1.05)], dtype=np.float32)
    np.testing.assert_array_equal(solid.occupied(points), [True, False, True, False])
    head, foot = (solid.occupied(np.array([[x, 0, z]], dtype=np.float32))[0] for z in (0.7, -0.8))
    assert (head, foot) == (True, False)


def test_a_solid_lies_within_its_extent():
    """No occupied point lies outside the box around the digit."""
    solid = Relief(height_map(mnist5k_arrays()[0][1234]))
    low, high = solid.extent()
    points = np.random.default_rng(0).uniform(-1, 1, (50_000, 3)).astype(np.float32)
    inside = solid.occupied(points)
    assert inside.any()
    assert ((points[inside] >= low) & (points[inside] <= high)).all()


def test_the_first_of_each_class_are_taken_in_order():
    """A count takes that many of each class by row; without one, all rows."""
    labels = np.array([1, 0, 0, 1, 0, 1])
    np.testing.assert_array_equal(first_of_each(labels, count=2), [0, 1, 2, 3])
    np.testing.assert_array_equal(first_of_each(labels, count=None), np.arange(6))


def test_digits_become_shapes_with_their_own_labels():
    """Each class is there, and a shape seen from the front is its image."""
    signals = load_signals(SignalsConfig(name="digits3d", options={"per_class": 3}))
    assert (np.bincount(signals.labels) == 3).all()
    images, labels = mnist5k_arrays()
    rows = first_of_each(labels, count=3)
    for place in (0, 17):
        image = images[rows[signals.ids[place]]]
        assert labels[rows[signals.ids[place]]] == signals.labels[place]
        points = signals.points(np.array([place]))[0][: signals.size // 2]
        column = ((points[:, 0] + 1) / 2 * 28).astype(int)
        row = ((1 - points[:, 2]) / 2 * 28).astype(int)
        assert (image[row, column] > 50).mean() > 0.97
