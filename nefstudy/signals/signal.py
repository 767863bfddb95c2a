"""Signals: what a neural dataset represents, one small neural field per signal."""

from dataclasses import dataclass
from math import prod
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Float16, Int, UInt8

Split = Literal["train", "val", "test"]
SPLITS: dict[Split, int] = {"train": 0, "val": 1, "test": 2}

STEP_POINTS = 4096
"""Points of a shape that a step of a fit compares: 2,048 inside, 2,048 outside (Papa et al. 2024 suppl.)."""


@dataclass(frozen=True)
class SignalCard:
    """What a set of signals is, in words and constants; goes into every manifest.

    Attributes:
        grid: extent of the grid an image is sampled on, (height, width), or a shape is looked at on.
        channels: values per point.
        mean, std: per-channel constants of the full training split, on [0, 1] values; 0 and 1 for occupancy.
        quality: the reconstruction metric named for this kind of signal.
        content_hash: SHA-256 over values, labels and split of the full set, before any subset.
    """

    name: str
    kind: Literal["image", "shape"]
    quality: Literal["psnr", "iou"]
    license: str
    source: str
    content_hash: str
    class_names: tuple[str, ...]
    grid: tuple[int, ...]
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Samples:
    """Points of [-1, 1]^D where shapes are known, each shape's own: P to fit, Q held out.

    Attributes:
        fitted: the first half lies inside, the second half outside.
        held_out: uniform over a box that holds the shape; no fit sees them.
        occupied: which of the held-out points lie inside.
    """

    fitted: Float16[np.ndarray, "S P D"]
    held_out: Float16[np.ndarray, "S Q D"]
    occupied: Bool[np.ndarray, "S Q"]

    def take(self, rows: Int[np.ndarray, " n"] | slice) -> "Samples":
        """Those of the given shapes."""
        return Samples(self.fitted[rows], self.held_out[rows], self.occupied[rows])


@dataclass(frozen=True, eq=False)
class Signals:
    """Labelled signals: images on one grid, or shapes at samples. S signals, P points each, D = len(grid), C channels.

    Attributes:
        values: [S, *grid, C] or, at samples, [S, P, C]; uint8 in 0..255, or float32 in [0, 1].
        ids: [S] identity of each signal in the full set; survives subsetting.
        labels: [S] class index, 0 .. len(card.class_names) - 1.
        split: [S] 0 train, 1 validation, 2 test.
        samples: where the values are, if not on the grid.
    """

    card: SignalCard
    values: UInt8[np.ndarray, "S ..."] | Float[np.ndarray, "S ..."]
    ids: Int[np.ndarray, " S"]
    labels: Int[np.ndarray, " S"]
    split: Int[np.ndarray, " S"]
    samples: Samples | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def in_dim(self) -> int:
        """Coordinate dimensions D."""
        return len(self.card.grid)

    @property
    def out_dim(self) -> int:
        """Channels C."""
        return self.card.channels

    @property
    def size(self) -> int:
        """Points P that a signal is known at."""
        return prod(self.values.shape[1:-1])

    @property
    def strata(self) -> int:
        """Equal stretches of a signal's points that a draw takes the same number from: inside and outside a shape."""
        return 1 if self.samples is None else 2

    @property
    def step_points(self) -> int | None:
        """Points a step of a fit draws unless it says otherwise; None takes all of them."""
        return None if self.samples is None else STEP_POINTS

    def coordinates(self) -> Float[np.ndarray, "G D"]:
        """Grid points in [-1, 1], ends included; the last axis of the grid varies fastest."""
        return grid_coordinates(self.card.grid)

    def points(self, rows: Int[np.ndarray, " n"]) -> Float[np.ndarray, "*n P D"]:
        """Where the values of the given rows are: the grid they share, or each one's own samples."""
        return self.coordinates() if self.samples is None else self.samples.fitted[rows].astype(np.float32)

    def originals(self, rows: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n P C"]:
        """Values of the given rows on [0, 1], float32."""
        values = self.values[rows].reshape(len(rows), -1, self.card.channels)
        unit: Float[np.ndarray, "n P C"] = values.astype(np.float32, copy=False)
        return unit / np.float32(255) if values.dtype == np.uint8 else unit

    def targets(self, rows: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n P C"]:
        """Values of the given rows standardised by the training split's mean and std, float32."""
        mean = np.asarray(self.card.mean, dtype=np.float32)
        std = np.asarray(self.card.std, dtype=np.float32)
        standardised: Float[np.ndarray, "n P C"] = (self.originals(rows) - mean) / std
        return standardised

    def select(self, rows: Int[np.ndarray, " n"]) -> "Signals":
        """The given rows only, in that order, under the same card."""
        samples = None if self.samples is None else self.samples.take(rows)
        return Signals(self.card, self.values[rows], self.ids[rows], self.labels[rows], self.split[rows], samples)

    def first(self, count: int) -> "Signals":
        """The first signals; their values are views, the rest are copies."""
        samples = None if self.samples is None else self.samples.take(slice(count))
        rows = np.arange(count)
        return Signals(self.card, self.values[:count], self.ids[rows], self.labels[rows], self.split[rows], samples)


def grid_coordinates(grid: tuple[int, ...]) -> Float[np.ndarray, "P D"]:
    """Points of a regular grid over [-1, 1]^D, ends included; the last axis varies fastest."""
    axes = [np.linspace(-1, 1, extent, dtype=np.float32) for extent in grid]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(grid))
