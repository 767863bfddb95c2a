"""How well fields reconstruct their signals: PSNR, off-grid PSNR, IoU; arrays in, one number per signal out.

Image values are on [0, 1]. Predictions are clipped to [0, 1] first, as writing them to an image file would do.
A prediction that is not finite scores NaN.
"""

from itertools import product

import numpy as np
from jaxtyping import Bool, Float

PSNR_MOST = 100.0
"""dB; exact to float32 rounding. Keeps means finite where a field hits every pixel."""

PSNR_LEAST = 1e-3
"""dB; smallest denominator of a ratio of PSNRs."""


def psnr(prediction: Float[np.ndarray, "n ..."], target: Float[np.ndarray, "n ..."]) -> Float[np.ndarray, " n"]:
    """Peak signal-to-noise ratio of each signal in dB, -10 log10(MSE) with peak 1, at most 100 dB."""
    error = np.clip(prediction, 0, 1).reshape(len(target), -1) - target.reshape(len(target), -1)
    mse = np.square(error).mean(axis=1, dtype=np.float64)
    decibels: Float[np.ndarray, " n"] = -10 * np.log10(np.maximum(mse, 10 ** (-PSNR_MOST / 10)))
    return decibels


def cell_centres(grid: tuple[int, ...]) -> Float[np.ndarray, "P D"]:
    """Centres of a grid's cells in [-1, 1]^D, where no grid point lies; the last axis varies fastest."""
    axes = [np.linspace(-1, 1, 2 * extent - 1, dtype=np.float32)[1::2] for extent in grid]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(grid))


def bilinear(images: Float[np.ndarray, "n *grid C"], points: Float[np.ndarray, "P D"]) -> Float[np.ndarray, "n P C"]:
    """Values of images at points of [-1, 1]^D, linear along each axis between grid points (ends included)."""
    grid = np.array(images.shape[1:-1])
    place = (np.clip(points.astype(np.float64), -1, 1) + 1) / 2 * (grid - 1)
    low = np.minimum(np.floor(place).astype(np.int64), grid - 2)
    part = place - low
    values = np.zeros((len(images), len(points), images.shape[-1]), dtype=images.dtype)
    for corner in product((0, 1), repeat=len(grid)):
        weight = np.where(np.array(corner) == 1, part, 1 - part).prod(axis=1).astype(images.dtype)
        values += weight[:, None] * images[(slice(None), *(low + corner).T)]
    return values


def off_grid_psnr(
    prediction: Float[np.ndarray, "n P C"], images: Float[np.ndarray, "n *grid C"]
) -> Float[np.ndarray, " n"]:
    """PSNR at `cell_centres` against the bilinear image; a field that wiggles between pixels scores low."""
    return psnr(prediction, bilinear(images, cell_centres(images.shape[1:-1])))


def off_grid_ratio(off_grid: Float[np.ndarray, " n"], in_grid: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Off-grid PSNR over in-grid PSNR, both in dB; below 1 where a field fits its grid only."""
    ratio: Float[np.ndarray, " n"] = off_grid / np.maximum(in_grid, PSNR_LEAST)
    return ratio


def iou(logits: Float[np.ndarray, "n P"], occupancy: Bool[np.ndarray, "n P"]) -> Float[np.ndarray, " n"]:
    """Intersection over union of {logit > 0} and the occupied points; 1 where both are empty."""
    inside = logits > 0
    both = (inside & occupancy).sum(axis=1, dtype=np.float64)
    either = (inside | occupancy).sum(axis=1, dtype=np.float64)
    score: Float[np.ndarray, " n"] = np.divide(both, either, out=np.ones_like(both), where=either > 0)
    score[~np.isfinite(logits).all(axis=1)] = np.nan
    return score
