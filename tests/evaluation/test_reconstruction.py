"""Laws of the reconstruction scores."""

import numpy as np
import pytest
from scipy.interpolate import RegularGridInterpolator

from nefstudy.evaluation.reconstruction import (
    PSNR_MOST,
    bilinear,
    cell_centres,
    iou,
    off_grid_psnr,
    off_grid_ratio,
    psnr,
)


def images(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


@pytest.mark.parametrize(("offset", "decibels"), [(1.0, 0.0), (0.1, 20.0), (0.01, 40.0)])
def test_psnr_of_a_constant_error_is_known(offset: float, decibels: float):
    """An error of 10^-k everywhere is 20 k dB."""
    target = np.zeros((2, 4, 4, 1), dtype=np.float32)
    np.testing.assert_allclose(psnr(target + np.float32(offset), target), decibels, atol=1e-4)


def test_psnr_agrees_with_scikit_image():
    """Each signal scores what scikit-image says of it alone."""
    from skimage.metrics import peak_signal_noise_ratio

    target, prediction = images(5, 6, 7, 3), images(5, 6, 7, 3, seed=1)
    looped = [peak_signal_noise_ratio(t, p, data_range=1) for t, p in zip(target, prediction, strict=True)]
    np.testing.assert_allclose(psnr(prediction, target), looped, rtol=1e-6)


def test_psnr_does_not_see_how_points_are_laid_out():
    """[n, P, C] scores as [n, H, W, C]."""
    target, prediction = images(5, 6, 7, 3), images(5, 6, 7, 3, seed=1)
    flat = psnr(prediction.reshape(5, 42, 3), target.reshape(5, 42, 3))
    np.testing.assert_array_equal(flat, psnr(prediction, target))


def test_predictions_are_clipped_before_scoring():
    """What overshoots the range scores as the range's end; what stays inside is not touched."""
    target = np.ones((1, 4), dtype=np.float32)
    assert psnr(target * 5, target) == PSNR_MOST
    assert psnr(target * 0.9, target) < 21


def test_an_exact_prediction_scores_the_most_and_a_diverged_one_nan():
    """Scores stay finite for exact fields, and NaN stays with the field that diverged."""
    target = images(3, 8)
    prediction = target.copy()
    prediction[1, 3] = np.nan
    scores = psnr(prediction, target)
    assert scores[0] == scores[2] == PSNR_MOST
    assert np.isnan(scores[1])


def test_cell_centres_lie_midway_between_grid_points():
    """Centres are the means of the corners around them, (H-1)(W-1) of them, last axis fastest."""
    np.testing.assert_array_equal(cell_centres((2, 3)), [[0, -0.5], [0, 0.5]])
    assert cell_centres((4, 5, 6)).shape == (3 * 4 * 5, 3)


@pytest.mark.parametrize("grid", [(6, 7), (3, 4, 5)])
def test_interpolation_is_exact_at_grid_points(grid: tuple[int, ...]):
    """At the grid's own points the interpolated image is the image, corners included."""
    values = images(3, *grid, 2)
    axes = [np.linspace(-1, 1, extent) for extent in grid]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(grid))
    np.testing.assert_allclose(bilinear(values, points), values.reshape(3, -1, 2), atol=1e-6)


def test_interpolation_agrees_with_scipy_anywhere():
    """At random points the values are those of scipy's linear interpolator."""
    values = images(2, 6, 7, 3)
    points = np.random.default_rng(3).uniform(-1, 1, (50, 2))
    axes = (np.linspace(-1, 1, 6), np.linspace(-1, 1, 7))
    for image, found in zip(values, bilinear(values, points), strict=True):
        np.testing.assert_allclose(found, RegularGridInterpolator(axes, image)(points), atol=1e-6)


def test_the_centre_of_a_cell_is_the_mean_of_its_corners():
    """Off-grid targets are means of four neighbours."""
    values = images(2, 5, 6, 1)
    corners = values[:, :-1, :-1] + values[:, 1:, :-1] + values[:, :-1, 1:] + values[:, 1:, 1:]
    np.testing.assert_allclose(bilinear(values, cell_centres((5, 6))), corners.reshape(2, 20, 1) / 4, atol=1e-6)


def test_off_grid_psnr_tells_a_smooth_field_from_one_that_wiggles():
    """The bilinear image itself scores the most; a wave that vanishes at every grid point scores low."""
    values = images(2, 9, 9, 1)
    points = cell_centres((9, 9))
    smooth = bilinear(values, points)
    np.testing.assert_array_equal(off_grid_psnr(smooth, values), PSNR_MOST)
    wave = 0.3 * np.sin(4 * np.pi * (points[:, :1] + 1)) ** 2
    wiggly = np.where(smooth > 0.5, smooth - wave, smooth + wave).astype(np.float32)
    on_grid = 0.3 * np.sin(4 * np.pi * (np.linspace(-1, 1, 9) + 1)) ** 2
    assert on_grid.max() < 1e-9
    assert off_grid_psnr(wiggly, values).max() < 15


def test_the_ratio_compares_off_grid_with_in_grid():
    """The ratio is off-grid over in-grid decibels, finite even where the grid is not fitted at all."""
    np.testing.assert_allclose(off_grid_ratio(np.array([15.0, 30.0]), np.array([30.0, 30.0])), [0.5, 1.0])
    assert np.isfinite(off_grid_ratio(np.array([3.0]), np.array([0.0]))).all()


def test_iou_counts_points():
    """Two inside both of four inside either is one half; nothing and nothing agree fully."""
    occupancy = np.array([[True, True, True, False], [False] * 4, [True] * 4])
    logits = np.array([[1.0, 2.0, -1.0, 3.0], [-1.0] * 4, [-1.0] * 4])
    np.testing.assert_array_equal(iou(logits, occupancy), [0.5, 1.0, 0.0])


def test_iou_of_a_diverged_field_is_nan():
    """A field that answers NaN has no score, and its neighbour keeps its own."""
    logits = np.array([[1.0, np.nan], [1.0, -1.0]])
    scores = iou(logits, np.array([[True, False]] * 2))
    assert np.isnan(scores[0])
    assert scores[1] == 1
