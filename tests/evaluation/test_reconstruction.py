"""Tests of the reconstruction metrics."""

import numpy as np
import pytest
from scipy.interpolate import RegularGridInterpolator
from scipy.ndimage import gaussian_filter, map_coordinates

from nefstudy.evaluation.reconstruction import (
    MAX_PSNR,
    bilinear,
    cell_centers,
    iou,
    off_grid_nmse_ratio,
    off_grid_psnr,
    off_grid_ratio_bilinear,
    off_grid_ratio_published,
    psnr,
    published_points,
)
from nefstudy.evaluation.similarity import ssim


def images(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


@pytest.mark.parametrize(("offset", "decibels"), [(1.0, 0.0), (0.1, 20.0), (0.01, 40.0)])
def test_psnr_of_a_constant_error_is_known(offset: float, decibels: float):
    """A constant error of 10^-k has a PSNR of 20 k dB."""
    target = np.zeros((2, 4, 4, 1), dtype=np.float32)
    np.testing.assert_allclose(psnr(target + np.float32(offset), target), decibels, atol=1e-4)


def test_psnr_agrees_with_scikit_image():
    """The PSNR of each signal in a batch equals scikit-image's PSNR of that signal."""
    from skimage.metrics import peak_signal_noise_ratio

    target, prediction = images(5, 6, 7, 3), images(5, 6, 7, 3, seed=1)
    looped = [peak_signal_noise_ratio(t, p, data_range=1) for t, p in zip(target, prediction, strict=True)]
    np.testing.assert_allclose(psnr(prediction, target), looped, rtol=1e-6)


def test_psnr_does_not_depend_on_the_layout_of_points():
    """Predictions of shape [n, P, C] have the same PSNR as in shape [n, H, W, C]."""
    target, prediction = images(5, 6, 7, 3), images(5, 6, 7, 3, seed=1)
    flat = psnr(prediction.reshape(5, 42, 3), target.reshape(5, 42, 3))
    np.testing.assert_array_equal(flat, psnr(prediction, target))


def test_predictions_are_clipped_before_scoring():
    """Predicted values outside [0, 1] are scored as the nearest bound; values inside are not changed."""
    target = np.ones((1, 4), dtype=np.float32)
    assert psnr(target * 5, target) == MAX_PSNR
    assert psnr(target * 0.9, target) < 21


def test_an_exact_prediction_scores_the_maximum_and_a_diverged_one_nan():
    """An exact prediction scores MAX_PSNR; a diverged prediction scores NaN without affecting the others."""
    target = images(3, 8)
    prediction = target.copy()
    prediction[1, 3] = np.nan
    scores = psnr(prediction, target)
    assert scores[0] == scores[2] == MAX_PSNR
    assert np.isnan(scores[1])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_every_metric_of_a_prediction_that_is_not_finite_is_nan(value: float):
    """Clipping must not turn an infinite value into a white or black pixel; other signals keep their scores."""
    target, zero = images(2, 12, 12, 1), np.zeros(1, dtype=np.float32)
    predicted, between, published = target.copy(), images(2, 121, 1), images(2, 121, 1)
    for values in (predicted, between, published):
        values.reshape(2, -1)[1, 5] = value
    scores = [
        psnr(predicted, target),
        ssim(predicted, target),
        off_grid_psnr(between, target),
        off_grid_nmse_ratio(between, target, target),
        off_grid_nmse_ratio(images(2, 121, 1), predicted, target),
        off_grid_ratio_published(published, target, target, mean=zero),
        off_grid_ratio_published(images(2, 121, 1), predicted, target, mean=zero),
    ]
    for score in scores:
        assert np.isfinite(score[0])
        assert np.isnan(score[1])


def test_cell_centers_are_midway_between_grid_points():
    """A grid has (H-1)(W-1) cell centers, each the mean of its cell's corners; the last axis varies fastest."""
    np.testing.assert_array_equal(cell_centers((2, 3)), [[0, -0.5], [0, 0.5]])
    assert cell_centers((4, 5, 6)).shape == (3 * 4 * 5, 3)


@pytest.mark.parametrize("grid", [(6, 7), (3, 4, 5)])
def test_interpolation_is_exact_at_grid_points(grid: tuple[int, ...]):
    """At grid points, including the corners, interpolation returns the image's values."""
    values = images(3, *grid, 2)
    axes = [np.linspace(-1, 1, extent) for extent in grid]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(grid))
    np.testing.assert_allclose(bilinear(values, points), values.reshape(3, -1, 2), atol=1e-6)


def test_interpolation_agrees_with_scipy_anywhere():
    """At random points, interpolated values equal those of scipy's linear interpolator."""
    values = images(2, 6, 7, 3)
    points = np.random.default_rng(3).uniform(-1, 1, (50, 2))
    axes = (np.linspace(-1, 1, 6), np.linspace(-1, 1, 7))
    for image, interpolated in zip(values, bilinear(values, points), strict=True):
        np.testing.assert_allclose(interpolated, RegularGridInterpolator(axes, image)(points), atol=1e-6)


def test_the_center_of_a_cell_is_the_mean_of_its_corners():
    """The interpolated value at a cell's center is the mean of the values at the cell's four corners."""
    values = images(2, 5, 6, 1)
    corners = values[:, :-1, :-1] + values[:, 1:, :-1] + values[:, :-1, 1:] + values[:, 1:, 1:]
    np.testing.assert_allclose(bilinear(values, cell_centers((5, 6))), corners.reshape(2, 20, 1) / 4, atol=1e-6)


def test_off_grid_psnr_separates_smooth_from_oscillating_fields():
    """A bilinear image scores the maximum. Adding a wave that is zero at every grid point lowers the score."""
    values = images(2, 9, 9, 1)
    points = cell_centers((9, 9))
    smooth = bilinear(values, points)
    np.testing.assert_array_equal(off_grid_psnr(smooth, values), MAX_PSNR)
    wave = 0.3 * np.sin(4 * np.pi * (points[:, :1] + 1)) ** 2
    oscillating = np.where(smooth > 0.5, smooth - wave, smooth + wave).astype(np.float32)
    on_grid = 0.3 * np.sin(4 * np.pi * (np.linspace(-1, 1, 9) + 1)) ** 2
    assert on_grid.max() < 1e-9
    assert off_grid_psnr(oscillating, values).max() < 15


def test_the_ratio_compares_off_grid_with_in_grid():
    """The ratio of off-grid to in-grid PSNR is finite even if the in-grid PSNR is 0."""
    np.testing.assert_allclose(off_grid_ratio_bilinear(np.array([15.0, 30.0]), np.array([30.0, 30.0])), [0.5, 1.0])
    assert np.isfinite(off_grid_ratio_bilinear(np.array([3.0]), np.array([0.0]))).all()


def test_the_published_ratio_agrees_with_interpolation_beyond_the_last_pixel():
    """The published ratio equals one computed with scipy's interpolation at the pixel indices of the public code.

    There the image continues with the data set's mean, which is 0 after standardization.
    """
    values, mean = 0.2 + 0.7 * images(3, 6, 6, 2), np.array([0.3, 0.5], dtype=np.float32)
    prediction, between = images(3, 6, 6, 2, seed=1), images(3, 25, 2, seed=2)
    indices = np.meshgrid(*[np.linspace(0.5, 5.5, 5)] * 2, indexing="ij")
    expected = []
    for image, on_grid, off_grid in zip(values, prediction, between, strict=True):
        channels = np.moveaxis(image - mean, -1, 0)
        target = (
            np.stack([map_coordinates(c, indices, order=1, mode="grid-constant") for c in channels], axis=-1) + mean
        )
        errors = (
            (((off_grid - target.reshape(25, 2)) / target.max()) ** 2).mean(),
            (((on_grid - image) / image.max()) ** 2).mean(),
        )
        expected.append(np.log10(errors[0] + 1e-8) / np.log10(errors[1] + 1e-8))
    np.testing.assert_allclose(off_grid_ratio_published(between, prediction, values, mean=mean), expected, rtol=1e-5)


def test_only_the_published_ratio_falls_as_a_fit_improves():
    """For a field that equals the bilinear image plus a shrinking error, the published ratio falls at every step.

    The ratio at cell centers and the ratio of normalized errors stay the same: the error is the same everywhere.
    """
    values = 0.1 + 0.8 * images(4, 5, 5, 1).repeat(3, axis=1).repeat(3, axis=2)
    on_grid = values.reshape(4, -1, 1)
    at_centers, at_published = (bilinear(values, points((15, 15))) for points in (cell_centers, published_points))
    rows = []
    for error in np.array([0.1, 0.03, 0.01, 0.003], dtype=np.float32):
        prediction = (on_grid + error).reshape(values.shape)
        ratio = off_grid_ratio_bilinear(psnr(at_centers + error, at_centers), psnr(prediction, values))
        published = off_grid_ratio_published(
            at_published + error, prediction, values, mean=np.array([0.5], dtype=np.float32)
        )
        rows.append((ratio, published, off_grid_nmse_ratio(at_centers + error, prediction, values)))
    bilinear_ratios, published_ratios, nmse_ratios = map(np.array, zip(*rows, strict=True))
    assert (np.diff(published_ratios, axis=0) < -0.05).all()
    np.testing.assert_allclose(bilinear_ratios, 1, atol=1e-3)
    np.testing.assert_allclose(nmse_ratios, nmse_ratios[:1].repeat(4, axis=0), rtol=1e-2)


def test_the_published_ratio_of_a_useless_field_is_finite():
    """Both PSNRs are clamped to at least 1 dB: huge errors give a ratio of 1, and a black image gives a finite one."""
    values = np.zeros((2, 4, 4, 1), dtype=np.float32)
    values[1] = 1
    prediction, between = np.full_like(values, 50), np.full((2, 9, 1), -50, dtype=np.float32)
    np.testing.assert_array_equal(
        off_grid_ratio_published(between, prediction, values, mean=np.array([0.1], dtype=np.float32)), 1
    )
    black = off_grid_ratio_published(
        between * 0, prediction * 0, values[:1].repeat(2, axis=0), mean=np.array([0.1], dtype=np.float32)
    )
    assert np.isfinite(black).all()


def test_the_ratio_of_normalized_errors_is_one_for_constants_and_blind_to_contrast():
    """A field that always returns the mean of its targets scores 1, and halving all values changes no score."""
    values = images(3, 7, 7, 2)
    centers = bilinear(values, cell_centers((7, 7)))
    flat = np.broadcast_to(values.mean(axis=(1, 2), keepdims=True), values.shape)
    between = np.broadcast_to(centers.mean(axis=1, keepdims=True), centers.shape)
    np.testing.assert_allclose(off_grid_nmse_ratio(between, flat, values), 1, rtol=1e-4)
    prediction, other = images(3, 7, 7, 2, seed=1), images(3, 36, 2, seed=2)
    score = off_grid_nmse_ratio(other, prediction, values)
    np.testing.assert_allclose(off_grid_nmse_ratio(other / 2, prediction / 2, values / 2), score, rtol=1e-4)
    assert not np.allclose(score, 1, rtol=0.01)


def test_the_ratio_of_normalized_errors_separates_smooth_from_oscillating_fields():
    """Given two fields with the same error on the grid, the one that oscillates between pixels scores higher.

    Fields that reproduce black images exactly score a finite number.
    """
    values = images(2, 9, 9, 1)
    centers, prediction = bilinear(values, cell_centers((9, 9))), values + np.float32(0.01)
    wave = np.where(centers > 0.5, -0.3, 0.3).astype(np.float32)
    smooth, oscillating = (
        off_grid_nmse_ratio(centers + error, prediction, values) for error in (np.float32(0.01), wave)
    )
    assert (oscillating > 20 * smooth).all()
    assert np.isfinite(off_grid_nmse_ratio(centers * 0, values * 0, values * 0)).all()


@pytest.mark.parametrize("sigma", [0.7, 1.5])
def test_a_field_smoother_than_its_image_scores_below_one(sigma: float):
    """A blurred image is closer to the interpolated original between pixels than to the original at the pixels.

    The ratio of normalized errors is therefore below 1. The ratio of PSNRs exceeds 1, although the field is poor.
    """
    values = 0.1 + 0.8 * images(4, 5, 5, 1).repeat(3, axis=1).repeat(3, axis=2)
    blurred = gaussian_filter(values, sigma=(0, sigma, sigma, 0))
    between = bilinear(blurred, cell_centers((15, 15)))
    assert (off_grid_nmse_ratio(between, blurred, values) < 1).all()
    on_grid = psnr(blurred, values)
    assert on_grid.max() < 26
    assert (off_grid_ratio_bilinear(off_grid_psnr(between, values), on_grid) > 1).all()


def test_iou_counts_points():
    """IoU is the number of points in the intersection divided by that in the union, and 1 for two empty sets."""
    occupancy = np.array([[True, True, True, False], [False] * 4, [True] * 4])
    logits = np.array([[1.0, 2.0, -1.0, 3.0], [-1.0] * 4, [-1.0] * 4])
    np.testing.assert_array_equal(iou(logits, occupancy), [0.5, 1.0, 0.0])


def test_iou_of_a_diverged_field_is_nan():
    """The IoU of a field with NaN outputs is NaN, and the IoU of the other field in the batch is unaffected."""
    logits = np.array([[1.0, np.nan], [1.0, -1.0]])
    scores = iou(logits, np.array([[True, False]] * 2))
    assert np.isnan(scores[0])
    assert scores[1] == 1
