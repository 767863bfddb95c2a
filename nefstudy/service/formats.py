"""A page of trials as JSON, NDJSON, CSV or Parquet, by `format=` or the Accept header."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

from fastapi import Request, Response

from nefstudy.ledger import StoredPage
from nefstudy.service.answers import answer, encode
from nefstudy.service.listing import SUMMARY, Stored, described, json_of

Row = Mapping[str, Any]
CURSOR_HEADER = "X-Next-Cursor"
SPREAD = ("parameters", "metrics")  # a bare name is a parameter before it is a metric
SAME = {f"parameters.{name}" for name in SUMMARY}  # a column already, as the seed


class Format(StrEnum):
    """How a page of trials is written."""

    JSON = "json"
    NDJSON = "ndjson"
    CSV = "csv"
    PARQUET = "parquet"


MEDIA_TYPES = {
    Format.JSON: "application/json",
    Format.NDJSON: "application/x-ndjson",
    Format.CSV: "text/csv; charset=utf-8",
    Format.PARQUET: "application/vnd.apache.parquet",
}
OTHER_CONTENT = {
    media_type.split(";")[0]: {"schema": {"type": "string"}}
    for format_, media_type in MEDIA_TYPES.items()
    if format_ is not Format.JSON
}
"""What the API's description says of a page of trials that is not JSON."""


CSV_CONTENT = {"text/csv": {"schema": {"type": "string"}}}


def is_csv(request: Request, asked: str | None) -> bool:
    """Return whether an answer that can be JSON or CSV is to be CSV."""
    return asked == Format.CSV or (asked is None and _accepted(request.headers.get("accept", "")) is Format.CSV)


def csv_of(rows: Iterable[Sequence[Any]]) -> bytes:
    """Return rows as CSV, with text that a spreadsheet will not take for a formula."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([_inert(value) for value in row] for row in rows)
    return text.getvalue().encode()


def written(request: Request, page: StoredPage, *, names: Sequence[str], asked: Format | None) -> Response:
    """The page in the format asked for; the tables carry the cursor in `X-Next-Cursor`."""
    format_ = asked or _accepted(request.headers.get("accept", ""))
    if format_ is Format.JSON:
        trials = ",".join([json_of(row, names) for row in page.rows])
        return answer(request, b'{"trials":[%b],"cursor":%b}' % (trials.encode(), encode(page.cursor)))
    headers = {} if page.cursor is None else {CURSOR_HEADER: page.cursor}
    if format_ is not Format.NDJSON:
        headers["Content-Disposition"] = f'attachment; filename="trials.{format_}"'
    return answer(request, _WRITERS[format_](page.rows, names), media_type=MEDIA_TYPES[format_], headers=headers)


def _accepted(accept: str) -> Format:
    for format_, media_type in MEDIA_TYPES.items():
        if media_type.split(";")[0] in accept:
            return format_
    return Format.JSON


def _ndjson(rows: Sequence[Stored], names: Sequence[str]) -> bytes:
    return "".join([json_of(row, names) + "\n" for row in rows]).encode()


def _csv(rows: Sequence[Stored], names: Sequence[str]) -> bytes:
    flat, columns = _flat(rows, names)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _inert(value) for name, value in row.items()} for row in flat)
    return text.getvalue().encode()


def _parquet(rows: Sequence[Stored], names: Sequence[str]) -> bytes:
    import pyarrow
    import pyarrow.parquet

    flat, columns = _flat(rows, names)
    table = pyarrow.table({name: _column([row.get(name) for row in flat]) for name in columns})
    sink = io.BytesIO()
    pyarrow.parquet.write_table(table, sink)
    return sink.getvalue()


def _column(values: list[Any]) -> list[Any]:
    """One type a column: numbers become floats when any is one, anything mixed becomes text."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float}:
        return [None if value is None else float(value) for value in values] if float in kinds else values
    return values if len(kinds) == 1 else [None if value is None else str(value) for value in values]


def _flat(rows: Sequence[Stored], names: Sequence[str]) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows with `metrics` and `parameters` spread out, and the columns of all of them."""
    flat = [_spread(described(row, names)) for row in rows]
    own = [name for name in names if name not in SPREAD]
    found = dict.fromkeys(name for row in flat for name in row)
    return flat, [*own, *(name for name in found if name not in own)]


def _spread(row: Row) -> dict[str, Any]:
    """The row with its metrics and parameters as values of its own, by their full names where a short one is taken."""
    plain = {
        name: json.dumps(value) if isinstance(value, dict | list) else value
        for name, value in row.items()
        if name not in SPREAD
    }
    for kind in SPREAD:
        for name, value in row.get(kind, {}).items():
            if name not in plain:
                plain[name] = value
            elif f"{kind}.{name}" not in SAME:
                plain[f"{kind}.{name}"] = value
    return plain


def _inert(value: Any) -> Any:
    """Text that a spreadsheet will not take for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in {"=", "+", "-", "@", "\t", "\r"} else value


_WRITERS: dict[Format, Callable[[Sequence[Stored], Sequence[str]], bytes]] = {
    Format.NDJSON: _ndjson,
    Format.CSV: _csv,
    Format.PARQUET: _parquet,
}
