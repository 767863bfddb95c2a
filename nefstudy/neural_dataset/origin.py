"""The origin of published fields: facts about their signals and fits that an import needs but the files lack."""

import math
from dataclasses import dataclass
from typing import Literal

from nefstudy.config import FieldConfig, NeuralDatasetConfig, SignalsConfig, parse
from nefstudy.errors import BadConfig
from nefstudy.fields.catalog import complete
from nefstudy.signals.kinds import KINDS
from nefstudy.signals.signal import LOGIT_LOSSES, SignalCard, SignalKind


@dataclass(frozen=True)
class Origin:
    """Facts about published fields that their files do not contain and that the user must supply.

    Attributes:
        name: name of the signals, such as `mnist`.
        field: the field and its hyperparameters; its layout must equal that of the files.
        grid: extent of the signals' grid; its length is the field's input dimension.
        kind: name of the kind of the signals.
        steps: number of optimizer steps of the fits.
        counts: training, validation and test signals, in the files' order; None splits by class, 72 / 8 / 20.
        mean, std: constants of the signals, per channel or one for all: value = output * std + mean. With None,
            outputs are taken as values on [0, 1].
        first_axis: the image axis of the first coordinate: `column` in fit-a-nef's own image task, `row` in other
            writers and here.
    """

    name: str
    field: FieldConfig
    grid: tuple[int, ...]
    channels: int
    init: Literal["random", "shared"]
    steps: int
    kind: str = "image"
    counts: tuple[int, int, int] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    first_axis: Literal["row", "column"] = "row"

    def __post_init__(self) -> None:
        self._check_kind()
        if self.first_axis == "column" and len(self.grid) != 2:
            raise BadConfig(f"grid {self.grid}: first axis `column` is for images only; omit it")
        if (self.mean is None) != (self.std is None):
            raise BadConfig("mean and std belong together: give both or neither")
        if self.mean is None or self.std is None:
            return
        if self.signal_kind.loss in LOGIT_LOSSES:
            raise BadConfig(f"kind {self.kind}: outputs are logits, without mean and std; omit both")
        _check_constants("mean", self.mean, channels=self.channels, least=-math.inf)
        _check_constants("std", self.std, channels=self.channels, least=0.0)

    def _check_kind(self) -> None:
        if self.kind not in KINDS:
            raise BadConfig(f"kind {self.kind!r}: allowed are {', '.join(KINDS)}; give one of them")
        kind, axes = self.signal_kind, len(self.grid)
        if axes != kind.axes:
            matching = [f"--kind {other.name}" for other in KINDS.values() if other.axes == axes]
            fix = f"give {' or '.join(matching)}, or correct the grid" if matching else "correct the grid"
            raise BadConfig(f"grid {self.grid} has {axes} axes, {kind.nouns} have {kind.axes}; {fix}")

    @property
    def signal_kind(self) -> SignalKind:
        """The kind of the signals."""
        return KINDS[self.kind]

    @property
    def values(self) -> str:
        """The conversion of outputs to values, as text for the manifest and the terminal."""
        if self.signal_kind.loss in LOGIT_LOSSES:
            return "outputs are logits of occupancy"
        return "outputs are taken as values on [0, 1]" if self.mean is None else "outputs * std + mean, as given"

    def recipe(self, content: str) -> NeuralDatasetConfig:
        """Return the recipe whose digest names the imported neural dataset."""
        axis = {} if self.first_axis == "row" else {"first_axis": self.first_axis}
        signals = SignalsConfig(name=self.name, options={"imported": True, **axis}, content=content)
        data = {"signals": signals, "field": complete(self.field), "init": self.init}
        return parse(NeuralDatasetConfig, data, where="import")

    def card(self, content: str, *, classes: int) -> SignalCard:
        """Return the card of the signals, in which each class is named by its number."""
        return SignalCard(
            name=self.name,
            kind=self.kind,
            loss=self.signal_kind.loss,
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
