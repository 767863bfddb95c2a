"""Figures as values: axes, marks stored as columns, and a computed caption."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Scale = Literal["linear", "log", "time", "ordinal"]
MarkKind = Literal["dot", "line", "step", "ring", "interval", "bar", "rule"]
Columns = Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class Axis:
    """One axis with its label and unit; `domain` is set if the metric declares a domain."""

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
    """Marks of one kind, as columns of equal length.

    Attributes:
        columns: `x` and `y` (for bars `x1`, `x2` and `y`; for intervals `x`, `y1` and `y2`; for rules `y`); `key` and
            `phase` identify a trial; `z` distinguishes lines; the other columns are named by the figure's `color`,
            `symbol` and `facet`, or are shown as text.
        label: the meaning of a rule.
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
        color, symbol, facet: names of the columns that select a mark's color, symbol and panel.
        of: number of trials before downsampling.
        names: labels of the columns to show as text, in order.
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
        """Return the marks as CSV rows, header first: the kind of each mark, and the union of all marks' columns."""
        names = list(dict.fromkeys(name for mark in self.marks for name in mark.columns))
        rows: list[list[Any]] = [["mark", *names]]
        for mark in self.marks:
            columns = [mark.columns.get(name, [None] * len(mark)) for name in names]
            rows += [[mark.kind, *values] for values in zip(*columns, strict=True)]
        return rows

    def of_kind(self, kind: MarkKind) -> Mark | None:
        """Return the first mark of a kind, or None if the figure has none."""
        return next((mark for mark in self.marks if mark.kind == kind), None)


def downsample(x: Sequence[float], y: Sequence[float], *, limit: int) -> list[int]:
    """Return the ascending indices of at most `limit` points, spread evenly over the plane.

    The first round takes one point of every occupied box, so outliers are kept before dense boxes are filled.
    """
    if len(x) <= limit:
        return list(range(len(x)))
    side = max(1, math.isqrt(limit))
    boxes: dict[tuple[int, int], list[int]] = {}
    for index, box in enumerate(zip(_bins(x, side), _bins(y, side), strict=True)):
        boxes.setdefault(box, []).append(index)
    kept: list[int] = []
    turn = 0
    while len(kept) < limit:
        kept += [indices[turn] for indices in boxes.values() if turn < len(indices)]
        turn += 1
    return sorted(kept[:limit])


def _bins(values: Sequence[float], count: int) -> list[int]:
    low, high = min(values), max(values)
    width = (high - low) or 1.0
    return [min(count - 1, int(count * ((value - low) / width))) for value in values]
