"""Laws of pictures: images as they are, shapes from aside, both of one size."""

import io

import numpy as np
from PIL import Image

from nefstudy.config import SignalsConfig
from nefstudy.signals.catalog import load_signals
from nefstudy.signals.picture import DARKEST, GAP, SIDE, contact_sheet, view
from nefstudy.signals.signal import grid_coordinates


def test_images_are_shown_as_they_are():
    """The picture of an image is its values on [0, 1], as a signal and as a reconstruction."""
    signals = load_signals(SignalsConfig(name="digits8", subset=20))
    shown = signals.pictures(np.array([3]))[0]
    np.testing.assert_array_equal(shown, signals.values[3])
    assert signals.kind.picture(shown, signals.coordinates()) is shown


def test_a_shape_and_its_voxels_look_alike():
    """Inside samples and an exact reconstruction on a grid cover about the same pixels; nothing covers none."""
    signals = load_signals(SignalsConfig(name="shapes10", options={"per_class": 3}))
    place = int(np.flatnonzero(signals.labels == 7)[0])  # a sofa, which is solid
    shown = signals.pictures(np.array([place]))[0]
    inside = signals.samples.fitted[place][: signals.size // 2].astype(np.float32)
    cells = np.zeros((32, 32, 32, 1), dtype=np.float32)
    cells[tuple(np.round((inside + 1) / 2 * 31).astype(int).T)] = 1
    again = signals.kind.picture(cells, signals.coordinates())
    assert shown.shape == again.shape == (SIDE, SIDE, 1)
    both, either = ((shown > 0) & (again > 0)).sum(), ((shown > 0) | (again > 0)).sum()
    assert both / either > 0.75
    assert signals.kind.picture(np.zeros_like(cells), signals.coordinates()).max() == 0


def test_nearer_points_are_brighter_and_hide_those_behind():
    """Of two points on one line of sight the nearer is seen; a farther one alone is darker."""
    grid = grid_coordinates((12, 12, 12))
    far, near = view(grid[grid[:, 1] > 0.5]), view(grid[grid[:, 1] < -0.5])
    assert DARKEST <= far[far > 0].min() < near.max() <= 1
    np.testing.assert_array_equal(view(np.concatenate([grid[:5], grid[:5]])), view(grid[:5]))


def test_a_sheet_holds_every_image_of_every_row():
    """Two rows of three 4x5 images make a sheet of their sizes plus gaps, zoomed."""
    rows = [np.full((3, 4, 5, 1), level, dtype=np.float32) for level in (0.0, 0.5)]
    sheet = Image.open(io.BytesIO(contact_sheet(rows, zoom=2)))
    assert sheet.size == (2 * (15 + 2 * GAP), 2 * (8 + GAP))
    assert {sheet.getpixel((0, 0)), sheet.getpixel((0, sheet.height - 1))} == {0, 128}
