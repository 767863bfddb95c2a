"""Signals: what a neural dataset represents, one small neural field per signal."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int, UInt8

Split = Literal["train", "val", "test"]
SPLITS: dict[Split, int] = {"train": 0, "val": 1, "test": 2}


@dataclass(frozen=True)
class SignalCard:
    """What a set of signals is, in words and constants; goes into every manifest.

    Attributes:
        grid: extent of the sampling grid, (height, width) for images.
        channels: values per point.
        mean, std: per-channel constants of the full training split, on [0, 1] values.
        quality: the reconstruction metric named for this kind of signal.
        content_hash: SHA-256 over values, labels and split of the full set, before any subset.
    """

    name: str
    kind: Literal["image", "shape"]
    quality: Literal["psnr", "iou"]
    licence: str
    source: str
    content_hash: str
    class_names: tuple[str, ...]
    grid: tuple[int, ...]
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Signals:
    """Labelled signals on one grid. S signals, P = prod(grid) points, D = len(grid), C channels.

    Attributes:
        values: [S, *grid, C]; uint8 in 0..255, or float32 in [0, 1].
        ids: [S] identity of each signal in the full set; survives subsetting.
        labels: [S] class index, 0 .. len(card.class_names) - 1.
        split: [S] 0 train, 1 validation, 2 test.
    """

    card: SignalCard
    values: UInt8[np.ndarray, "S ..."] | Float[np.ndarray, "S ..."]
    ids: Int[np.ndarray, " S"]
    labels: Int[np.ndarray, " S"]
    split: Int[np.ndarray, " S"]

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

    def coordinates(self) -> Float[np.ndarray, "P D"]:
        """Grid points in [-1, 1], ends included; the last axis of the grid varies fastest."""
        return grid_coordinates(self.card.grid)

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
        return Signals(self.card, self.values[rows], self.ids[rows], self.labels[rows], self.split[rows])


def grid_coordinates(grid: tuple[int, ...]) -> Float[np.ndarray, "P D"]:
    """Points of a regular grid over [-1, 1]^D, ends included; the last axis varies fastest."""
    axes = [np.linspace(-1, 1, extent, dtype=np.float32) for extent in grid]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(grid))
