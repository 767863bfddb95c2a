"""Facts about published fields that their files do not hold."""

import math
from dataclasses import dataclass
from typing import Literal

from nefstudy.config import FieldConfig, NeuralDatasetConfig, SignalsConfig, parse
from nefstudy.errors import BadConfig
from nefstudy.fields.catalog import complete
from nefstudy.signals.signal import SignalCard

IMAGE_DIMS = 2


@dataclass(frozen=True)
class Origin:
    """Facts about published fields that their files do not hold.

    Attributes:
        name: what to call the signals, such as `mnist`.
        field: the field and its hyperparameters; its rows must be those of the files.
        grid: extent of the grid the signals were on; its length is the field's input dimension.
        steps: optimizer steps the fields had.
        counts: signals that train, validate and test, in the files' order; None splits stratified, 72 / 8 / 20.
        mean, std: constants of the signals, per channel or one for all: value = output * std + mean. None: the
            outputs are taken as values on [0, 1].
        first_axis: the axis of the image that the first coordinate follows: fit-a-nef's own image task makes its
            coordinates columns first, other writers rows first, as we do.
    """

    name: str
    field: FieldConfig
    grid: tuple[int, ...]
    channels: int
    init: Literal["random", "shared"]
    steps: int
    counts: tuple[int, int, int] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    first_axis: Literal["row", "column"] = "row"

    def __post_init__(self) -> None:
        if self.kind == "shape" and self.first_axis == "column":
            raise BadConfig(f"grid {self.grid}: only an image's first coordinate may follow columns; leave it out")
        if (self.mean is None) != (self.std is None):
            raise BadConfig("mean and std belong together: give both, or neither")
        if self.mean is None or self.std is None:
            return
        if self.kind == "shape":
            raise BadConfig(f"grid {self.grid}: a shape's outputs are logits, without mean and std; leave both out")
        _check_constants("mean", self.mean, channels=self.channels, least=-math.inf)
        _check_constants("std", self.std, channels=self.channels, least=0.0)

    @property
    def kind(self) -> Literal["image", "shape"]:
        """Kind of the signals: a grid of two axes is an image's."""
        return "image" if len(self.grid) == IMAGE_DIMS else "shape"

    @property
    def values(self) -> str:
        """How outputs become values, for the manifest and the terminal."""
        if self.kind == "shape":
            return "outputs are logits of occupancy"
        return "outputs are taken as values on [0, 1]" if self.mean is None else "outputs * std + mean, as given"

    def recipe(self, content: str) -> NeuralDatasetConfig:
        """Return the recipe whose digest names the imported neural dataset."""
        axis = {} if self.first_axis == "row" else {"first_axis": self.first_axis}
        signals = SignalsConfig(name=self.name, options={"imported": True, **axis}, content=content)
        data = {"signals": signals, "field": complete(self.field), "init": self.init}
        return parse(NeuralDatasetConfig, data, where="import")

    def card(self, content: str, *, classes: int) -> SignalCard:
        """Return the card of the signals, classes named by their numbers."""
        return SignalCard(
            name=self.name,
            kind=self.kind,
            quality="psnr" if self.kind == "image" else "iou",
            license="as published",
            source="imported from HDF5",
            content_hash=content,
            class_names=tuple(str(index) for index in range(classes)),
            grid=self.grid,
            channels=self.channels,
            mean=_per_channel(self.mean or (0.0,), self.channels),
            std=_per_channel(self.std or (1.0,), self.channels),
        )


def _check_constants(name: str, values: tuple[float, ...], *, channels: int, least: float) -> None:
    if len(values) not in (1, channels):
        allowed = "1" if channels == 1 else f"1 or {channels}, one for each channel"
        raise BadConfig(f"{name} has {len(values)} numbers; allowed: {allowed}; correct it")
    if not all(math.isfinite(value) and value > least for value in values):
        raise BadConfig(f"{name} {values}: allowed are finite numbers above {least}; correct it")


def _per_channel(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    return values * channels if len(values) == 1 else values
