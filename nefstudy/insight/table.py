"""Tables as values, with typed columns and cells, rendered as text or as rows for CSV."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

CONFIDENCE = 0.95
DASH = "–"
Kind = Literal["text", "count", "number", "mean", "difference", "percent", "share", "trial", "seconds"]


@dataclass(frozen=True)
class TrialRef:
    """A table cell that identifies a trial; the page renders it as a link to that trial."""

    key: str
    phase: str


@dataclass(frozen=True)
class Mean:
    """The mean of n values, with its sample standard deviation and the half-width of its 95 % interval.

    The interval is Student's, mean ± t(97.5 %, n - 1) s / sqrt(n). It is the uncertainty of the mean, and the standard
    deviation the spread of single values. Both are None for a single value.
    """

    n: int
    mean: float
    sd: float | None
    half: float | None

    def __str__(self) -> str:
        return f"{self.mean:.3f}" if self.half is None else f"{self.mean:.3f} ± {self.half:.3f}"


Cell = str | int | float | Mean | TrialRef | None


@dataclass(frozen=True)
class Column:
    """One column: its name in JSON and CSV, its displayed label, and the format of its cells.

    Attributes:
        digits: decimals of numbers and means.
        sure: format a mean with its interval, otherwise with its standard deviation.
        detail: include the column only in JSON and CSV, not in displayed tables.
    """

    name: str
    label: str
    kind: Kind = "text"
    unit: str = ""
    digits: int = 3
    sure: bool = True
    detail: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of cells with typed columns, a title and a computed caption.

    Attributes:
        of: number of trials that the table is computed from.
    """

    id: str
    title: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    of: int = 0

    def column(self, name: str) -> list[Cell]:
        """Return the cells of one column."""
        index = [column.name for column in self.columns].index(name)
        return [row[index] for row in self.rows]

    def shown(self) -> list[Column]:
        """Return the columns of the displayed table."""
        return [column for column in self.columns if not column.detail]

    def texts(self) -> tuple[list[str], list[list[str]]]:
        """Return the header and body of the displayed table as text."""
        header = [f"{column.label} ({column.unit})" if column.unit else column.label for column in self.shown()]
        body = [
            [text(cell, column) for cell, column in zip(row, self.columns, strict=True) if not column.detail]
            for row in self.rows
        ]
        return header, body

    def flat(self) -> list[list[str | int | float | None]]:
        """Return full-precision CSV rows, header first.

        A mean becomes the columns `NAME.n`, `.mean`, `.sd` and `.half`.
        """
        header: list[str | int | float | None] = []
        for column in self.columns:
            header += [f"{column.name}.{part}" for part in PARTS] if column.kind in MEANS else [column.name]
        body = [
            [part for cell, column in zip(row, self.columns, strict=True) for part in _flat(cell, column)]
            for row in self.rows
        ]
        return [header, *body]


PARTS = ("n", "mean", "sd", "half")
MEANS = ("mean", "difference")  # kinds of columns whose cells are means


def _flat(cell: Cell, column: Column) -> list[str | int | float | None]:
    if column.kind in MEANS:
        return [getattr(cell, part, None) for part in PARTS]
    if isinstance(cell, TrialRef):
        return [cell.key]
    assert not isinstance(cell, Mean)
    return [cell]


def text(cell: Cell, column: Column) -> str:
    """Return a cell as text for the displayed table."""
    match cell:
        case None:
            return DASH
        case str():
            return cell
        case TrialRef(key):
            return key
        case Mean():
            return _mean_text(cell, column)
    return _number_text(cell, column) if math.isfinite(cell) else DASH


def _mean_text(cell: Mean, column: Column) -> str:
    spread = cell.half if column.sure else cell.sd
    sign = "+" if column.kind == "difference" else ""
    shown = f"{cell.mean:{sign}.{column.digits}f}"
    return shown if spread is None else f"{shown} ± {spread:.{column.digits}f}"


def _number_text(cell: float, column: Column) -> str:
    match column.kind:
        case "count":
            return f"{cell:,.0f}" if cell == round(cell) else f"{round(cell, 3):,}"
        case "percent":
            return f"{cell:+.1f} %"
        case "share":
            return f"{100 * cell:.0f} %"
        case "seconds":
            return duration(cell)
    return f"{cell:,}" if isinstance(cell, int) else f"{cell:.{column.digits}f}"


def counted(n: int, noun: str) -> str:
    """Return a number followed by its noun, in the plural unless the number is 1."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def capital(words: str) -> str:
    """Return the text with its first letter capitalized and all other letters unchanged."""
    return words[:1].upper() + words[1:]


def duration(seconds: float) -> str:
    """Format a duration in seconds, minutes or hours."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:,.1f} h"


def mean_of(values: Sequence[float]) -> Mean:
    """Return the mean, standard deviation and 95 % interval of one or more values."""
    n, mean = len(values), statistics.fmean(values)
    if n < 2:
        return Mean(n, mean, None, None)
    sd = statistics.stdev(values)
    return Mean(n, mean, sd, quantile(n - 1) * sd / math.sqrt(n))


def quantile(freedom: int) -> float:
    """Return the 97.5 % quantile of Student's t distribution."""
    from scipy.special import stdtrit  # imported only if there is an interval to compute

    return float(stdtrit(freedom, 0.5 + CONFIDENCE / 2))


def plain(value: Any) -> Any:
    """Convert a figure, a table or a part of one to plain data for JSON."""
    if isinstance(value, Mapping):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, str | int | float | None):
        return value
    if isinstance(value, Sequence):
        return [plain(inner) for inner in value]
    return {name: plain(inner) for name, inner in vars(value).items()}
