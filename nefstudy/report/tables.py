"""Tables of `insight` as text, for a terminal, in Markdown or in CSV."""

import csv
import io
from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table as Drawn

from nefstudy.insight.table import Column, Table

NUMBERS = frozenset({"count", "number", "mean", "difference", "percent", "share", "seconds"})


def is_number_column(column: Column) -> bool:
    """Return whether a column's cells are numbers, which are right-aligned."""
    return column.kind in NUMBERS


def markdown(table: Table) -> str:
    """Return a GitHub-flavored Markdown table with its caption below."""
    header, body = table.texts()
    rule = ["---:" if is_number_column(column) else "---" for column in table.shown()]
    drawn = ["| " + " | ".join(line) + " |" for line in [header, rule, *body]]
    return "\n".join([*drawn, "", table.caption])


def terminal(table: Table) -> Drawn:
    """Return a table for a terminal."""
    header, body = table.texts()
    drawn = Drawn(title=table.title, caption=table.caption, box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    drawn.caption_justify = "left"
    for index, (name, column) in enumerate(zip(header, table.shown(), strict=True)):
        right = is_number_column(column)
        drawn.add_column(name, justify="right" if right else "left", no_wrap=bool(index), overflow="fold")
    for line in body:
        drawn.add_row(*line)
    return drawn


def csv_bytes(rows: Iterable[Sequence[object]]) -> bytes:
    """Encode rows as UTF-8 CSV with bare line feeds; None becomes an empty cell."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue().encode()
