"""Tests of pictures: images are unchanged, and shapes are projected to a fixed size."""

import io

import numpy as np
from PIL import Image

from nefstudy.config import SignalsConfig
from nefstudy.signals.catalog import load_signals
from nefstudy.signals.picture import DARKEST, GAP, SIDE, contact_sheet, view
from nefstudy.signals.signal import grid_coords

from ..present import present


def test_images_are_shown_unchanged():
    """The picture of an image is the image itself, with values on [0, 1].

    This holds for a signal and for a reconstruction.
    """
    signals = load_signals(SignalsConfig(name="digits8", subset=20))
    shown = signals.pictures(np.array([3]))[0]
    np.testing.assert_array_equal(shown, signals.values[3])
    assert present(signals.kind.picture)(shown, signals.grid_coords()) is shown


def test_a_shape_and_its_voxels_look_similar():
    """The pictures of a shape's inside points and of its voxels cover about the same pixels.

    The picture of an empty grid is empty.
    """
    signals = load_signals(SignalsConfig(name="shapes10", options={"per_class": 3}))
    row = int(np.flatnonzero(signals.labels == 7)[0])  # a sofa, which is solid
    shown = signals.pictures(np.array([row]))[0]
    inside = present(signals.samples).fitted[row][: signals.size // 2].astype(np.float32)
    cells = np.zeros((32, 32, 32, 1), dtype=np.float32)
    cells[tuple(np.round((inside + 1) / 2 * 31).astype(int).T)] = 1
    again = present(signals.kind.picture)(cells, signals.grid_coords())
    assert shown.shape == again.shape == (SIDE, SIDE, 1)
    both, either = ((shown > 0) & (again > 0)).sum(), ((shown > 0) | (again > 0)).sum()
    assert both / either > 0.75
    assert present(signals.kind.picture)(np.zeros_like(cells), signals.grid_coords()).max() == 0


def test_nearer_points_are_brighter():
    """In the picture of a shape, near points are brighter than distant ones.

    Brightness stays in range, and duplicate points change nothing.
    """
    grid = grid_coords((12, 12, 12))
    far, near = view(grid[grid[:, 1] > 0.5]), view(grid[grid[:, 1] < -0.5])
    assert DARKEST <= far[far > 0].min() < near.max() <= 1
    np.testing.assert_array_equal(view(np.concatenate([grid[:5], grid[:5]])), view(grid[:5]))


def test_a_sheet_contains_every_image_of_every_row():
    """A contact sheet has the total size of its zoomed images plus the gaps between them."""
    rows = [np.full((3, 4, 5, 1), level, dtype=np.float32) for level in (0.0, 0.5)]
    sheet = Image.open(io.BytesIO(contact_sheet(rows, zoom=2)))
    assert sheet.size == (2 * (15 + 2 * GAP), 2 * (8 + GAP))
    assert {sheet.getpixel((0, 0)), sheet.getpixel((0, sheet.height - 1))} == {0, 128}
