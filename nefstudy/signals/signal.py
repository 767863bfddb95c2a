"""The types that make up a set of signals: kind, values, sample points, and the card that describes the set."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float, Int, UInt8

from nefstudy.errors import BadConfig, BadSignals
from nefstudy.names import kind_name, metric_name
from nefstudy.signals.samples import Samples

LossName = Literal["mse", "bce"]
"""Names of the losses of `nefstudy/fields/loss.py`."""

LOGIT_LOSSES: frozenset[LossName] = frozenset({"bce"})
"""Losses of fields whose outputs are logits; their targets are not standardized."""

Split = Literal["train", "val", "test"]
SPLITS: dict[Split, int] = {"train": 0, "val": 1, "test": 2}

Predict = Callable[[Float[np.ndarray, "*F P D"]], Float[np.ndarray, "F P C"]]
"""Predicts the fields' values on the signals' original scale, or logits for `LOGIT_LOSSES`.

The points are shared, or given per field.
"""

Picture = Callable[[Float[np.ndarray, "*grid C"], Float[np.ndarray, "P D"]], Float[np.ndarray, "H W C"]]
"""Draws one signal's values at points as an image with values in [0, 1] and 1, 3 or 4 channels."""


@dataclass(frozen=True)
class Quality:
    """A reconstruction metric with one number per field.

    Attributes:
        domain: fixed ends of its axis in figures; None derives them from the values.
    """

    name: str
    label: str
    unit: str = ""
    domain: tuple[float, float] | None = None
    direction: Literal["maximize", "minimize"] = "maximize"

    def __post_init__(self) -> None:
        metric_name(self.name)


@dataclass(frozen=True)
class SignalKind:
    """A kind of signal: everything that differs between images, shapes and user-defined kinds.

    Attributes:
        name: identifier in cards, manifests and the ledger.
        label: heading in figures and tables; `nouns` is the plural used in sentences.
        loss: squared error of standardized values, or cross-entropy of logits against occupancies.
        quality: reconstruction metrics, the primary one first.
        measure: returns every metric by name, given signals and a function that predicts their values.
        picture: draws one signal; None for a kind without pictures.
        axes: number of grid axes; None allows any number.
        sampled: whether each signal has its own points (`Samples`) instead of a shared grid.
        strata: number of equal stretches of a signal's points from which each draw takes equally many.
        step_points: points per fitting step unless the recipe sets `batch_points`; None takes all points.
    """

    name: str
    label: str
    nouns: str
    loss: LossName
    quality: tuple[Quality, ...]
    measure: Callable[["Signals", Predict], Mapping[str, Float[np.ndarray, " S"]]]
    picture: Picture | None = None
    axes: int | None = None
    sampled: bool = False
    strata: int = 1
    step_points: int | None = None

    def __post_init__(self) -> None:
        kind_name(self.name)
        if self.loss not in get_args(LossName):
            allowed = ", ".join(get_args(LossName))
            raise BadConfig(f"kind {self.name!r} has loss {self.loss!r}; allowed: {allowed}; correct it")
        if not self.quality or len(set(self.metrics)) < len(self.metrics):
            raise BadConfig(f"kind {self.name!r} has metrics {self.metrics}; give one or more with distinct names")

    def draw(
        self, values: Float[np.ndarray, "*grid C"], coords: Float[np.ndarray, "P D"]
    ) -> Float[np.ndarray, "H W C"]:
        """Return the picture of one signal.

        Raises:
            BadConfig: the kind has no pictures, or draws something else.
        """
        if self.picture is None:
            raise BadConfig(f"kind {self.name!r} has no picture function; give it one, or do without pictures")
        image = self.picture(values, coords)
        shape = np.shape(image)
        if len(shape) != 3 or shape[2] not in (1, 3, 4):
            raise BadConfig(
                f"kind {self.name!r}: picture returns shape {shape}; return height, width and 1, 3 or 4 channels"
            )
        return image

    @property
    def identity(self) -> tuple[str, str, int, int | None]:
        """The attributes that affect fitted parameters."""
        return self.name, self.loss, self.strata, self.step_points

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the reconstruction metrics, starting with the primary metric."""
        return tuple(metric.name for metric in self.quality)

    @property
    def has_psnr(self) -> bool:
        """Whether the loss of a fit can be converted to PSNR, for progress and early stopping."""
        return self.loss == "mse" and "psnr" in self.metrics


@dataclass(frozen=True)
class SignalCard:
    """The description of a set of signals, including the mean and std that standardize it; stored in every manifest.

    Attributes:
        kind: name of the `SignalKind`; `loss` is the kind's, so that a manifest can be read without its code.
        class_names: empty if signals have no labels.
        grid: extent of the sampling grid, such as (height, width), or of the grid on which shapes are displayed.
        channels: values per point.
        mean, std: per-channel constants of the full training split, on [0, 1] values; 0 and 1 for occupancy.
        content_hash: SHA-256 of values, labels and split of the full set, before any subset, test signals included.
    """

    name: str
    kind: str
    loss: LossName
    license: str
    source: str
    content_hash: str
    class_names: tuple[str, ...]
    grid: tuple[int, ...]
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Signals:
    """Signals of one kind: S signals, P points each, D = len(grid) coordinates, C channels.

    Attributes:
        values: [S, *grid, C] or, at samples, [S, P, C]; uint8 in 0..255, or float32 in [0, 1].
        ids: [S] identity of each signal in the full set; preserved by subsets.
        labels: [S] class index, 0 .. len(card.class_names) - 1; None without classes.
        split: [S] 0 train, 1 validation, 2 test; None if the set is not split.
        samples: points of the values, if they are not on the grid.
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
    def has_test(self) -> bool:
        """Whether there are test signals; a search has none (`SignalsConfig.without_test`)."""
        return self.split is not None and bool((self.split == SPLITS["test"]).any())

    @property
    def in_dim(self) -> int:
        """Number of coordinate dimensions D."""
        return len(self.card.grid)

    @property
    def out_dim(self) -> int:
        """Number of channels C."""
        return self.card.channels

    @property
    def size(self) -> int:
        """Number of points P per signal."""
        return prod(self.values.shape[1:-1])

    def grid_coords(self) -> Float[np.ndarray, "G D"]:
        """Return the grid points in [-1, 1], ends included; the last axis of the grid varies fastest."""
        return grid_coords(self.card.grid)

    def coords(self, rows: Int[np.ndarray, " n"]) -> Float[np.ndarray, "*n P D"]:
        """Return the points of the given rows: the shared grid, or each row's samples."""
        return self.grid_coords() if self.samples is None else self.samples.fitted[rows].astype(np.float32)

    def originals(self, rows: Int[np.ndarray, " n"] | None = None) -> Float[np.ndarray, "n P C"]:
        """Return the values of the given rows (by default, of all rows) as float32 in [0, 1]."""
        chosen = self.values if rows is None else self.values[rows]
        values = chosen.reshape(len(chosen), -1, self.card.channels)
        unit: Float[np.ndarray, "n P C"] = values.astype(np.float32, copy=False)
        return unit / np.float32(255) if values.dtype == np.uint8 else unit

    def targets(self, rows: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n P C"]:
        """Return the values of the given rows, standardized by the training split's mean and std, as float32."""
        mean = np.asarray(self.card.mean, dtype=np.float32)
        std = np.asarray(self.card.std, dtype=np.float32)
        standardized: Float[np.ndarray, "n P C"] = (self.originals(rows) - mean) / std
        return standardized

    def labels_and_split(self, purpose: str) -> tuple[Int[np.ndarray, " S"], Int[np.ndarray, " S"]]:
        """Return the labels and the split.

        Args:
            purpose: what needs them, for the error.

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
        if self.kind.picture is None:
            raise BadSignals(f"signals {self.card.name!r} are {self.kind.nouns}, which have no pictures")
        values = self.originals(rows).reshape(len(rows), *self.values.shape[1:])
        points = np.broadcast_to(self.coords(rows), (len(rows), self.size, self.in_dim))
        return np.stack([self.kind.draw(*pair) for pair in zip(values, points, strict=True)])

    def select(self, rows: Int[np.ndarray, " n"]) -> "Signals":
        """Return the signals at the given rows, in the order of `rows`, with the card unchanged."""
        return self._taken(rows, values=self.values[rows])

    def first(self, count: int) -> "Signals":
        """Return the first `count` signals.

        The values are views; the other columns are copies.
        """
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


def grid_coords(grid: tuple[int, ...]) -> Float[np.ndarray, "P D"]:
    """Return the points of a regular grid over [-1, 1]^D, ends included; the last axis varies fastest."""
    axes = [np.linspace(-1, 1, extent, dtype=np.float32) for extent in grid]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(grid))
