"""A figure as a value: axes, marks as columns, and a caption that was computed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Scale = Literal["linear", "log", "time", "ordinal"]
MarkKind = Literal["dot", "line", "step", "ring", "bar", "rule"]
Columns = Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class Axis:
    """One axis: what it shows, in which unit; `domain` is given where the metric declares one."""

    label: str
    unit: str = ""
    scale: Scale = "linear"
    domain: tuple[float, float] | None = None

    @property
    def title(self) -> str:
        """The label with its unit."""
        return f"{self.label} ({self.unit})" if self.unit else self.label


@dataclass(frozen=True)
class Mark:
    """Marks of one kind, column by column, all columns equally long.

    Attributes:
        columns: `x` and `y` (of bars `x1`, `x2` and `y`, of rules `y`); `key` and `phase` identify a trial; `z` tells
            lines apart; other columns are named by the figure's `color`, `symbol` and `facet`, or are shown as text.
        label: what a rule marks.
    """

    kind: MarkKind
    columns: Columns
    label: str = ""

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))


@dataclass(frozen=True)
class Figure:
    """Axes and marks with a title and a caption.

    Attributes:
        color, symbol, facet: names of the columns that choose a mark's color, its symbol and its panel.
        of: trials before downsampling; the marks show all of them where their dots are as many.
        names: labels of columns, in the order in which they are shown as text.
    """

    id: str
    title: str
    caption: str
    x: Axis
    y: Axis
    marks: tuple[Mark, ...]
    color: str | None = None
    symbol: str | None = None
    facet: str | None = None
    of: int = 0
    names: Mapping[str, str] = field(default_factory=dict)

    def flat(self) -> list[list[Any]]:
        """Return the marks for CSV, header first: the kind of mark, then every column of any."""
        names = list(dict.fromkeys(name for mark in self.marks for name in mark.columns))
        rows: list[list[Any]] = [["mark", *names]]
        for mark in self.marks:
            columns = [mark.columns.get(name, [None] * len(mark)) for name in names]
            rows += [[mark.kind, *values] for values in zip(*columns, strict=True)]
        return rows

    def of_kind(self, kind: MarkKind) -> Mark | None:
        """Return the first marks of a kind, None where the figure has none."""
        return next((mark for mark in self.marks if mark.kind == kind), None)


def downsample(x: Sequence[float], y: Sequence[float], *, limit: int) -> list[int]:
    """Return rising indices of at most `limit` points, taken in turns from the boxes of a grid over the plane.

    The first turn takes one point of every box that has any, so that outliers outlive crowds.
    """
    if len(x) <= limit:
        return list(range(len(x)))
    side = max(1, math.isqrt(limit))
    boxes: dict[tuple[int, int], list[int]] = {}
    for index, place in enumerate(zip(_bins(x, side), _bins(y, side), strict=True)):
        boxes.setdefault(place, []).append(index)
    kept: list[int] = []
    turn = 0
    while len(kept) < limit:
        kept += [box[turn] for box in boxes.values() if turn < len(box)]
        turn += 1
    return sorted(kept[:limit])


def _bins(values: Sequence[float], count: int) -> list[int]:
    low, high = min(values), max(values)
    width = (high - low) or 1.0
    return [min(count - 1, int(count * ((value - low) / width))) for value in values]
