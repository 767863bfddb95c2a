"""Reconstruction metrics, one number per signal: PSNR, off-grid PSNR and ratios, and IoU.

Image values are on [0, 1]. Predictions are clipped to [0, 1] first, as when writing them to an image file.
A prediction that is not finite scores NaN.
"""

from itertools import product

import numpy as np
from jaxtyping import Bool, Float

MAX_PSNR = 100.0
"""Maximum PSNR in dB, which keeps means finite if a field reproduces every pixel up to float32 rounding."""

MIN_PSNR = 1e-3
"""Lower bound of the denominator in a ratio of PSNRs, in dB."""

MIN_ERROR = 10 ** (-MAX_PSNR / 10)
"""Smallest squared error, and smallest variance of a target, in `off_grid_nmse_ratio`."""

MIN_PUBLISHED_PSNR = 1.0
"""Lower bound of both PSNRs in `off_grid_ratio_published`, in dB: without clipping they can be negative."""

PUBLISHED_EPSILON = 1e-8
"""Added to the squared error by the study's public code, which limits its PSNR to 80 dB."""


def psnr(prediction: Float[np.ndarray, "n ..."], target: Float[np.ndarray, "n ..."]) -> Float[np.ndarray, " n"]:
    """Return the peak signal-to-noise ratio of each signal in dB: -10 log10(MSE) with peak 1, at most 100 dB."""
    error = clipped(prediction).reshape(len(target), -1) - target.reshape(len(target), -1)
    mse = np.square(error).mean(axis=1, dtype=np.float64)
    decibels: Float[np.ndarray, " n"] = -10 * np.log10(np.maximum(mse, MIN_ERROR))
    return decibels


def clipped(prediction: Float[np.ndarray, "n ..."]) -> Float[np.ndarray, "n ..."]:
    """Return the prediction clipped to [0, 1], with NaN where it is not finite."""
    values: Float[np.ndarray, "n ..."] = np.clip(_finite(prediction), 0, 1)
    return values


def _finite(prediction: Float[np.ndarray, "n ..."]) -> Float[np.ndarray, "n ..."]:
    return np.where(np.isfinite(prediction), prediction, np.float32(np.nan))


def cell_centers(grid: tuple[int, ...]) -> Float[np.ndarray, "P D"]:
    """Return the centers of a grid's cells in [-1, 1]^D, between grid points; the last axis varies fastest."""
    axes = [np.linspace(-1, 1, 2 * extent - 1, dtype=np.float32)[1::2] for extent in grid]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(grid))


def bilinear(images: Float[np.ndarray, "n *grid C"], coords: Float[np.ndarray, "P D"]) -> Float[np.ndarray, "n P C"]:
    """Return the values of images at points of [-1, 1]^D, by multilinear interpolation (grid ends included)."""
    grid = np.array(images.shape[1:-1])
    position = (np.clip(coords.astype(np.float64), -1, 1) + 1) / 2 * (grid - 1)
    low = np.minimum(np.floor(position).astype(np.int64), grid - 2)
    part = position - low
    values = np.zeros((len(images), len(coords), images.shape[-1]), dtype=images.dtype)
    for corner in product((0, 1), repeat=len(grid)):
        weight = np.where(np.array(corner) == 1, part, 1 - part).prod(axis=1).astype(images.dtype)
        values += weight[:, None] * images[(slice(None), *(low + corner).T)]
    return values


def off_grid_psnr(
    prediction: Float[np.ndarray, "n P C"], images: Float[np.ndarray, "n *grid C"]
) -> Float[np.ndarray, " n"]:
    """Return the PSNR at `cell_centers` relative to the bilinearly interpolated image.

    A field that oscillates between pixels scores low.
    """
    return psnr(prediction, bilinear(images, cell_centers(images.shape[1:-1])))


def off_grid_ratio_bilinear(
    off_grid: Float[np.ndarray, " n"], in_grid: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """Return the ratio of `off_grid_psnr` to `psnr`, both in dB.

    It shows whether a field that reproduces its pixels well oscillates between them: the ratio is then far below 1. It
    cannot compare fields of low quality. The bilinear target is a blurred image, which a smooth field matches better
    than the image itself, so that the ratio exceeds 1 and depends more on the target than on the field.
    """
    ratio: Float[np.ndarray, " n"] = off_grid / np.maximum(in_grid, MIN_PSNR)
    return ratio


def off_grid_nmse_ratio(
    between: Float[np.ndarray, "n P C"],
    prediction: Float[np.ndarray, "n *grid C"],
    images: Float[np.ndarray, "n *grid C"],
) -> Float[np.ndarray, " n"]:
    """Return the normalized squared error at `cell_centers` divided by that at the grid points.

    Each error is divided by the variance of its target: the bilinear image off the grid, the image on it. A field
    that is constant at both means scores 1, whatever the contrast of the image. The ratio is below 1 while a field
    is smoother than its image, and above 1 if it is worse between the pixels than on them. It does not compare fields
    that reproduce their pixels almost exactly: their off-grid error is mostly the difference between the field's own
    interpolation and the bilinear one, and the error on the grid, which divides it, approaches 0.

    Args:
        between: values at `cell_centers`.
    """
    target = bilinear(images, cell_centers(images.shape[1:-1]))
    ratio: Float[np.ndarray, " n"] = _normalized_error(between, target) / _normalized_error(prediction, images)
    return ratio


def _normalized_error(
    prediction: Float[np.ndarray, "n ..."], target: Float[np.ndarray, "n ... C"]
) -> Float[np.ndarray, " n"]:
    """Return the mean squared error divided by the variance of the target around its mean per channel."""
    points = target.reshape(len(target), -1, target.shape[-1]).astype(np.float64)
    error = np.square(clipped(prediction).reshape(points.shape) - points).mean(axis=(1, 2))
    variance = points.var(axis=1).mean(axis=1)
    normalized: Float[np.ndarray, " n"] = np.maximum(error, MIN_ERROR) / np.maximum(variance, MIN_ERROR)
    return normalized


def published_points(grid: tuple[int, ...]) -> Float[np.ndarray, "P D"]:
    """Return the off-grid points of the study's public code; the last axis varies fastest.

    Along an axis with n grid points they run from -1 + 1/n to 1 - 1/n in n - 1 points, which are not the cell centers.
    """
    axes = [np.linspace(-1 + 1 / extent, 1 - 1 / extent, extent - 1, dtype=np.float32) for extent in grid]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(grid))


def off_grid_ratio_published(
    between: Float[np.ndarray, "n P C"],
    prediction: Float[np.ndarray, "n *grid C"],
    images: Float[np.ndarray, "n *grid C"],
    *,
    mean: Float[np.ndarray, " C"],
) -> Float[np.ndarray, " n"]:
    """Return the ratio of off-grid to in-grid PSNR with a formula inferred from the study's public code.

    Papa et al. 2024 plot such a ratio (supplement, figure 4) without its formula. Their public code computes an
    off-grid PSNR, `validation_psnr`, but no ratio; dividing it by that code's `psnr` is an assumption. Both PSNRs are
    unclipped, and the peak is the largest value of each target.

    The public code interpolates the image at pixel indices 0.5 to n - 0.5, beyond its last pixel, where the value is
    the mean of the data set, and evaluates the field at `published_points`. Field and target are therefore shifted
    against each other, from 0 pixels at the first edge to 1 at the last. The shift limits the off-grid PSNR even for a
    perfect field, while the in-grid PSNR keeps rising. So the ratio falls as fits get better. It can be compared with
    the published figure, but it does not show whether a field oscillates between pixels.

    Args:
        between: values at `published_points`.
        mean: mean of the data set by channel.
    """
    widths = [(0, 0), *[(0, 1)] * (images.ndim - 2), (0, 0)]
    target = bilinear(np.pad(images - mean, widths) + mean, published_points(images.shape[1:-1]))
    off_grid, in_grid = _published_psnr(between, target), _published_psnr(prediction, images)
    ratio: Float[np.ndarray, " n"] = off_grid / in_grid
    return ratio


def _published_psnr(
    prediction: Float[np.ndarray, "n ..."], target: Float[np.ndarray, "n ..."]
) -> Float[np.ndarray, " n"]:
    """Return the PSNR as the study's public code computes it, but at least 1 dB; a black target's peak counts as 1."""
    wanted = target.reshape(len(target), -1).astype(np.float64)
    peak = wanted.max(axis=1)
    error = np.square(_finite(prediction).reshape(wanted.shape) - wanted).mean(axis=1)
    error /= np.square(np.where(peak > 0, peak, 1))
    decibels: Float[np.ndarray, " n"] = np.maximum(-10 * np.log10(error + PUBLISHED_EPSILON), MIN_PUBLISHED_PSNR)
    return decibels


def iou(logits: Float[np.ndarray, "n P"], occupancy: Bool[np.ndarray, "n P"]) -> Float[np.ndarray, " n"]:
    """Return the intersection over union of {logit > 0} and the occupied points; 1 if both sets are empty."""
    inside = logits > 0
    both = (inside & occupancy).sum(axis=1, dtype=np.float64)
    either = (inside | occupancy).sum(axis=1, dtype=np.float64)
    score: Float[np.ndarray, " n"] = np.divide(both, either, out=np.ones_like(both), where=either > 0)
    score[~np.isfinite(logits).all(axis=1)] = np.nan
    return score
