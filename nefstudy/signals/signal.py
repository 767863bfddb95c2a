"""Signals: what a neural dataset represents, one small neural field per signal."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Float16, Int, UInt8

from nefstudy.errors import BadConfig, BadSignals

Split = Literal["train", "val", "test"]
SPLITS: dict[Split, int] = {"train": 0, "val": 1, "test": 2}

Predict = Callable[[Float[np.ndarray, "*F P D"]], Float[np.ndarray, "F P C"]]
"""Values of fields on the signals' own scale (logits for `bce`), at points that all share or at each field's own."""

Picture = Callable[[Float[np.ndarray, "*grid C"], Float[np.ndarray, "P D"]], Float[np.ndarray, "H W C"]]
"""An image on [0, 1] of one signal's values at points: 1, 3 or 4 channels."""


@dataclass(frozen=True)
class Quality:
    """A reconstruction metric: one number for each field.

    Attributes:
        domain: ends of an axis that shows it; None where values decide.
    """

    name: str
    label: str
    unit: str = ""
    domain: tuple[float, float] | None = None
    direction: Literal["maximize", "minimize"] = "maximize"


@dataclass(frozen=True)
class SignalKind:
    """A kind of signal: all that differs between images, shapes and a kind that a user adds.

    Attributes:
        name: what cards, manifests and the ledger call it.
        label: its heading; `nouns` is what a sentence calls several of them.
        loss: squared error of standardized values, or cross-entropy of logits against occupancies.
        quality: reconstruction metrics, the headline first.
        measure: returns every metric of fields, by name, from their signals and the values they predict.
        picture: draws one signal; None for a kind without pictures.
        axes: of the grid; None allows any number.
        sampled: whether each signal is known at points of its own (`Samples`) in place of a grid.
        strata: equal stretches of a signal's points that a draw takes the same number from.
        step_points: points that a step of a fit draws unless its recipe says otherwise; None takes all of them.
    """

    name: str
    label: str
    nouns: str
    loss: Literal["mse", "bce"]
    quality: tuple[Quality, ...]
    measure: Callable[["Signals", Predict], Mapping[str, Float[np.ndarray, " S"]]]
    picture: Picture | None = None
    axes: int | None = None
    sampled: bool = False
    strata: int = 1
    step_points: int | None = None

    def __post_init__(self) -> None:
        if self.loss not in ("mse", "bce"):
            raise BadConfig(f"kind {self.name!r}: loss {self.loss!r} must be mse or bce; correct it")
        if not self.quality or len(set(self.metrics)) < len(self.metrics):
            raise BadConfig(f"kind {self.name!r} has metrics {self.metrics}; give one or more, each name once")

    @property
    def identity(self) -> tuple[str, str, int, int | None]:
        """All that the parameters of a fit depend on."""
        return self.name, self.loss, self.strata, self.step_points

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the reconstruction metrics, the headline first."""
        return tuple(metric.name for metric in self.quality)

    @property
    def has_psnr(self) -> bool:
        """Whether the loss of a fit amounts to a PSNR, which may be shown and stopped at."""
        return self.loss == "mse" and "psnr" in self.metrics


@dataclass(frozen=True)
class SignalCard:
    """A set of signals in words and constants; goes into every manifest.

    Attributes:
        kind: name of the `SignalKind`; `loss` is that kind's, so that a manifest can be read without it.
        class_names: empty where signals have no labels.
        grid: extent of the grid that signals are sampled on, such as (height, width), or that shapes are looked at on.
        channels: values per point.
        mean, std: per-channel constants of the full training split, on [0, 1] values; 0 and 1 for occupancy.
        content_hash: SHA-256 over values, labels and split of the full set, before any subset.
    """

    name: str
    kind: str
    loss: Literal["mse", "bce"]
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
    """Signals of one kind: S signals, P points each, D = len(grid) coordinates, C channels.

    Attributes:
        values: [S, *grid, C] or, at samples, [S, P, C]; uint8 in 0..255, or float32 in [0, 1].
        ids: [S] identity of each signal in the full set; survives subsetting.
        labels: [S] class index, 0 .. len(card.class_names) - 1; None where there are no classes.
        split: [S] 0 train, 1 validation, 2 test; None where the set is not split.
        samples: where the values are, if not on the grid.
    """

    card: SignalCard
    values: UInt8[np.ndarray, "S ..."] | Float[np.ndarray, "S ..."]
    ids: Int[np.ndarray, " S"]
    labels: Int[np.ndarray, " S"] | None = None
    split: Int[np.ndarray, " S"] | None = None
    samples: Samples | None = None
    kind: SignalKind = field(kw_only=True)

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

    def coordinates(self) -> Float[np.ndarray, "G D"]:
        """Grid points in [-1, 1], ends included; the last axis of the grid varies fastest."""
        return grid_coordinates(self.card.grid)

    def points(self, rows: Int[np.ndarray, " n"]) -> Float[np.ndarray, "*n P D"]:
        """Where the values of the given rows are: the grid they share, or each one's own samples."""
        return self.coordinates() if self.samples is None else self.samples.fitted[rows].astype(np.float32)

    def originals(self, rows: Int[np.ndarray, " n"] | None = None) -> Float[np.ndarray, "n P C"]:
        """Return the values of the given rows, or of all, on [0, 1], float32."""
        chosen = self.values if rows is None else self.values[rows]
        values = chosen.reshape(len(chosen), -1, self.card.channels)
        unit: Float[np.ndarray, "n P C"] = values.astype(np.float32, copy=False)
        return unit / np.float32(255) if values.dtype == np.uint8 else unit

    def targets(self, rows: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n P C"]:
        """Values of the given rows standardised by the training split's mean and std, float32."""
        mean = np.asarray(self.card.mean, dtype=np.float32)
        std = np.asarray(self.card.std, dtype=np.float32)
        standardised: Float[np.ndarray, "n P C"] = (self.originals(rows) - mean) / std
        return standardised

    def labels_and_split(self, purpose: str) -> tuple[Int[np.ndarray, " S"], Int[np.ndarray, " S"]]:
        """Return the labels and the split, which the purpose needs.

        Raises:
            BadSignals: one of them is missing.
        """
        if self.labels is None or self.split is None:
            missing = "labels" if self.labels is None else "split"
            raise BadSignals(
                f"signals {self.card.name!r} have no {missing}, which {purpose} needs; pass {missing} to signal_set, "
                "or choose a task without classes"
            )
        return self.labels, self.split

    def pictures(self, rows: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n H W C"]:
        """Return the given signals as images on [0, 1].

        Raises:
            BadSignals: signals of this kind have no pictures.
        """
        draw = self.kind.picture
        if draw is None:
            raise BadSignals(f"signals {self.card.name!r} are {self.kind.nouns}, which have no pictures")
        values = self.originals(rows).reshape(len(rows), *self.values.shape[1:])
        points = np.broadcast_to(self.points(rows), (len(rows), self.size, self.in_dim))
        return np.stack([draw(*pair) for pair in zip(values, points, strict=True)])

    def select(self, rows: Int[np.ndarray, " n"]) -> "Signals":
        """Return the given rows only, in that order, under the same card."""
        return self._taken(rows, values=self.values[rows])

    def first(self, count: int) -> "Signals":
        """Return the first signals; their values are views, the rest are copies."""
        return self._taken(np.arange(count), values=self.values[:count])

    def _taken(self, rows: Int[np.ndarray, " n"], *, values: np.ndarray) -> "Signals":
        return replace(
            self,
            values=values,
            ids=self.ids[rows],
            labels=None if self.labels is None else self.labels[rows],
            split=None if self.split is None else self.split[rows],
            samples=None if self.samples is None else self.samples.take(rows),
        )


def grid_coordinates(grid: tuple[int, ...]) -> Float[np.ndarray, "P D"]:
    """Points of a regular grid over [-1, 1]^D, ends included; the last axis varies fastest."""
    axes = [np.linspace(-1, 1, extent, dtype=np.float32) for extent in grid]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(grid))
