"""Tests of the solids that the source `digits3d` makes from images of digits."""

import numpy as np

from nefstudy.config import SignalsConfig
from nefstudy.signals.catalog import load_signals
from nefstudy.signals.sources.digits import mnist5k_arrays
from nefstudy.signals.sources.digits3d import DEPTH, FLAT, Relief, digit_samples, first_of_each, height_map

from ...present import present


def drawn() -> np.ndarray:
    """Return an image of a bar that covers rows 4 to 23 and columns 10 to 15."""
    image = np.zeros((28, 28), dtype=np.uint8)
    image[4:24, 10:16] = 255
    return image


def test_a_digit_is_thickest_in_the_middle_of_its_strokes():
    """A digit's half-thickness grows from the edge of a stroke until it is constant in the middle.

    It is DEPTH min(sqrt(distance), FLAT), and 0 outside the strokes.
    """
    heights = height_map(drawn())
    middle = heights[56]
    assert heights[0].max() == 0
    assert middle.max() == np.float32(DEPTH * FLAT)
    edge = np.flatnonzero(middle)[0]
    assert np.isclose(middle[edge], DEPTH * np.sqrt(0.25))
    assert (np.diff(middle[edge : edge + 8]) >= 0).all()


def test_occupancy_matches_the_height_map():
    """Points just below the surface are inside the solid, and points just above it are outside.

    This holds for the front and the back. The axis z points up in the image.
    """
    solid = Relief(height_map(drawn()))
    top = solid.heights.max()
    x = 2 * 13 / 28 - 1
    z = 1 - 2 * 14 / 28
    points = np.array([[x, s * f * top, z] for s in (-1, 1) for f in (0.95, 1.05)], dtype=np.float32)
    np.testing.assert_array_equal(solid.occupied(points), [True, False, True, False])
    head, foot = (solid.occupied(np.array([[x, 0, z]], dtype=np.float32))[0] for z in (0.7, -0.8))
    assert (head, foot) == (True, False)


def test_a_solid_is_within_its_extent():
    """All occupied points are inside the digit's bounding box."""
    solid = Relief(height_map(mnist5k_arrays()[0][1234]))
    low, high = solid.extent()
    points = np.random.default_rng(0).uniform(-1, 1, (50_000, 3)).astype(np.float32)
    inside = solid.occupied(points)
    assert inside.any()
    assert ((points[inside] >= low) & (points[inside] <= high)).all()


def test_every_block_of_a_pool_is_of_the_same_digit():
    """Points of a pool's last block are on their declared side of the digit's solid, and differ from the first's."""
    image = mnist5k_arrays()[0][1234]
    pool = present(digit_samples(image, index=1234).pools)[0]
    inside, outside = pool.block(pool.blocks - 1)
    solid = Relief(height_map(image))
    assert solid.occupied(inside.astype(np.float32)).all()
    assert not solid.occupied(outside.astype(np.float32)).any()
    assert (inside != pool.block(0)[0]).any()


def test_the_first_of_each_class_are_taken_in_order():
    """Only the first `count` rows of each class are taken, in order, or all rows if `count` is None."""
    labels = np.array([1, 0, 0, 1, 0, 1])
    np.testing.assert_array_equal(first_of_each(labels, count=2), [0, 1, 2, 3])
    np.testing.assert_array_equal(first_of_each(labels, count=None), np.arange(6))


def test_digits_become_shapes_with_their_own_labels():
    """Seen from the front, the points inside a shape lie on the strokes of its digit.

    Every class is present, and a shape has the label of its digit.
    """
    signals = load_signals(SignalsConfig(name="digits3d", options={"per_class": 3}))
    shape_labels = present(signals.labels)
    assert (np.bincount(shape_labels) == 3).all()
    images, labels = mnist5k_arrays()
    rows = first_of_each(labels, count=3)
    for index in (0, 17):
        image = images[rows[signals.ids[index]]]
        assert labels[rows[signals.ids[index]]] == shape_labels[index]
        points = signals.coords(np.array([index]))[0][: signals.size // 2]
        column = ((points[:, 0] + 1) / 2 * 28).astype(int)
        row = ((1 - points[:, 2]) / 2 * 28).astype(int)
        assert (image[row, column] > 50).mean() > 0.97
