"""Formats of a page of trials: JSON, NDJSON, CSV or Parquet, chosen by `format=` or the Accept header."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

from fastapi import Request, Response

from nefstudy.ledger import StoredPage
from nefstudy.service.listing import SUMMARY, Stored, json_of, values_of
from nefstudy.service.responses import encode, etag_response

Row = Mapping[str, Any]
CURSOR_HEADER = "X-Next-Cursor"
FLATTENED = ("parameters", "metrics")  # in this order: a bare name is a parameter before it is a metric
REDUNDANT = {f"parameters.{name}" for name in SUMMARY}  # already columns of the row, such as the seed


class Format(StrEnum):
    """The format of a page of trials."""

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
NON_JSON_CONTENT = {
    media_type.split(";")[0]: {"schema": {"type": "string"}}
    for format_, media_type in MEDIA_TYPES.items()
    if format_ is not Format.JSON
}
"""OpenAPI content types of a page of trials, other than JSON."""


CSV_CONTENT = {"text/csv": {"schema": {"type": "string"}}}


def is_csv(request: Request, requested: str | None) -> bool:
    """Return whether a request to a JSON or CSV route asks for CSV, by parameter or Accept header."""
    return requested == Format.CSV or (
        requested is None and _accepted_format(request.headers.get("accept", "")) is Format.CSV
    )


def csv_of(rows: Iterable[Sequence[Any]]) -> bytes:
    """Return rows as CSV, with text escaped so that a spreadsheet does not run it as a formula."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([_escape_formula(value) for value in row] for row in rows)
    return text.getvalue().encode()


def page_response(request: Request, page: StoredPage, *, names: Sequence[str], requested: Format | None) -> Response:
    """Return a page of trials in the requested format.

    Formats other than JSON carry the cursor in the header `X-Next-Cursor`.
    """
    format_ = requested or _accepted_format(request.headers.get("accept", ""))
    if format_ is Format.JSON:
        trials = ",".join([json_of(row, names) for row in page.rows])
        return etag_response(request, b'{"trials":[%b],"cursor":%b}' % (trials.encode(), encode(page.cursor)))
    headers = {} if page.cursor is None else {CURSOR_HEADER: page.cursor}
    if format_ is not Format.NDJSON:
        headers["Content-Disposition"] = f'attachment; filename="trials.{format_}"'
    return etag_response(request, _WRITERS[format_](page.rows, names), media_type=MEDIA_TYPES[format_], headers=headers)


def _accepted_format(accept: str) -> Format:
    for format_, media_type in MEDIA_TYPES.items():
        if media_type.split(";")[0] in accept:
            return format_
    return Format.JSON


def _ndjson(rows: Sequence[Stored], names: Sequence[str]) -> bytes:
    return "".join([json_of(row, names) + "\n" for row in rows]).encode()


def _csv(rows: Sequence[Stored], names: Sequence[str]) -> bytes:
    flat, columns = _flatten(rows, names)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _escape_formula(value) for name, value in row.items()} for row in flat)
    return text.getvalue().encode()


def _parquet(rows: Sequence[Stored], names: Sequence[str]) -> bytes:
    import pyarrow
    import pyarrow.parquet

    flat, columns = _flatten(rows, names)
    table = pyarrow.table({name: _column([row.get(name) for row in flat]) for name in columns})
    sink = io.BytesIO()
    pyarrow.parquet.write_table(table, sink)
    return sink.getvalue()


def _column(values: list[Any]) -> list[Any]:
    """Convert a column's values to one type: mixed numbers become floats, other mixtures become text."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float}:
        return [None if value is None else float(value) for value in values] if float in kinds else values
    return values if len(kinds) == 1 else [None if value is None else str(value) for value in values]


def _flatten(rows: Sequence[Stored], names: Sequence[str]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the rows with `metrics` and `parameters` flattened, and the union of their columns."""
    flat = [_flatten_row(values_of(row, names)) for row in rows]
    requested = [name for name in names if name not in FLATTENED]
    union = dict.fromkeys(name for row in flat for name in row)
    return flat, [*requested, *(name for name in union if name not in requested)]


def _flatten_row(row: Row) -> dict[str, Any]:
    """Return a row with its metrics and parameters as columns, with full names where short names collide."""
    plain = {
        name: json.dumps(value) if isinstance(value, dict | list) else value
        for name, value in row.items()
        if name not in FLATTENED
    }
    for kind in FLATTENED:
        for name, value in row.get(kind, {}).items():
            if name not in plain:
                plain[name] = value
            elif f"{kind}.{name}" not in REDUNDANT:
                plain[f"{kind}.{name}"] = value
    return plain


def _escape_formula(value: Any) -> Any:
    """Prefix text with a quote if a spreadsheet would run it as a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in {"=", "+", "-", "@", "\t", "\r"} else value


_WRITERS: dict[Format, Callable[[Sequence[Stored], Sequence[str]], bytes]] = {
    Format.NDJSON: _ndjson,
    Format.CSV: _csv,
    Format.PARQUET: _parquet,
}
