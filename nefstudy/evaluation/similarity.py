"""Batched structural similarity of images (Wang et al. 2004)."""

import numpy as np
from jaxtyping import Float

from nefstudy.evaluation.reconstruction import clipped

SIGMA = 1.5
WINDOW = 11
STABILITY = (0.01**2, 0.03**2)  # C1, C2 of the paper for values on [0, 1]
BLOCK_VALUES = 200_000  # pixels per block, so that its moments stay in cache


def ssim(prediction: Float[np.ndarray, "n H W C"], target: Float[np.ndarray, "n H W C"]) -> Float[np.ndarray, " n"]:
    """Return the mean structural similarity of each image; values are in [0, 1], and predictions are clipped to [0, 1].

    Gaussian window with standard deviation 1.5 over 11x11 pixels, population covariance, channels averaged, border
    cropped: scikit-image's `structural_similarity` with `gaussian_weights=True, use_sample_covariance=False,
    data_range=1`. For images under 11 pixels the crop is that of the largest odd window that fits, with mirrored
    edges.
    """
    _, height, width, channels = target.shape
    block = max(1, BLOCK_VALUES // (height * width * channels))
    rows, columns = _blur(height, crop=_crop(height, width)), _blur(width, crop=_crop(height, width))
    scores = [
        _block(clipped(prediction[i : i + block]), target[i : i + block], rows=rows, columns=columns)
        for i in range(0, len(target), block)
    ]
    return np.concatenate(scores) if scores else np.empty(0)


def _crop(height: int, width: int) -> int:
    return (min(WINDOW, height, width) - 1) // 2


def _blur(extent: int, *, crop: int) -> Float[np.ndarray, "out in"]:
    """Return the matrix of a Gaussian blur along one axis with mirrored edges, but without `crop` rows at each end."""
    radius = WINDOW // 2
    offsets = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * np.square(offsets / SIGMA))
    kernel /= kernel.sum()
    matrix = np.zeros((extent, extent))
    for row in range(extent):
        taken = np.mod(row + offsets, 2 * extent)
        np.add.at(matrix[row], np.minimum(taken, 2 * extent - 1 - taken), kernel)
    return matrix[crop : extent - crop]


def _block(
    prediction: Float[np.ndarray, "n H W C"],
    target: Float[np.ndarray, "n H W C"],
    *,
    rows: Float[np.ndarray, "H2 H"],
    columns: Float[np.ndarray, "W2 W"],
) -> Float[np.ndarray, " n"]:
    x = np.moveaxis(prediction, -1, 1).astype(np.float64)
    y = np.moveaxis(target, -1, 1).astype(np.float64)
    mean_x, mean_y, square_x, square_y, cross = (rows @ (m @ columns.T) for m in (x, y, x * x, y * y, x * y))
    c1, c2 = STABILITY
    var_x, var_y, cov = square_x - mean_x**2, square_y - mean_y**2, cross - mean_x * mean_y
    likeness: Float[np.ndarray, "n C H2 W2"] = (2 * mean_x * mean_y + c1) * (2 * cov + c2)
    scale = (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    score: Float[np.ndarray, " n"] = (likeness / scale).mean(axis=(1, 2, 3))
    return score
