"""A page of trials as JSON, NDJSON, CSV or Parquet, by `format=` or the Accept header."""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any

from fastapi import Request, Response

from nefstudy.service.answers import answer, encode

Row = Mapping[str, Any]
CURSOR_HEADER = "X-Next-Cursor"


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


def written(
    request: Request, rows: Sequence[Row], *, cursor: str | None, names: Sequence[str], asked: Format | None
) -> Response:
    """The page in the format asked for; the tables carry the cursor in `X-Next-Cursor`."""
    format_ = asked or _accepted(request.headers.get("accept", ""))
    if format_ is Format.JSON:
        return answer(request, encode({"trials": rows, "cursor": cursor}))
    headers = {} if cursor is None else {CURSOR_HEADER: cursor}
    if format_ is not Format.NDJSON:
        headers["Content-Disposition"] = f'attachment; filename="trials.{format_}"'
    return answer(request, _WRITERS[format_](rows, names), media_type=MEDIA_TYPES[format_], headers=headers)


def _accepted(accept: str) -> Format:
    for format_, media_type in MEDIA_TYPES.items():
        if media_type.split(";")[0] in accept:
            return format_
    return Format.JSON


def _ndjson(rows: Sequence[Row], _names: Sequence[str]) -> bytes:
    return b"".join(encode(row) + b"\n" for row in rows)


def _csv(rows: Sequence[Row], names: Sequence[str]) -> bytes:
    flat, columns = _flat(rows, names)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _inert(value) for name, value in row.items()} for row in flat)
    return text.getvalue().encode()


def _parquet(rows: Sequence[Row], names: Sequence[str]) -> bytes:
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


def _flat(rows: Sequence[Row], names: Sequence[str]) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows with `metrics` and `parameters` spread out, and the columns of all of them."""
    flat = [_spread(row) for row in rows]
    own = [name for name in names if name not in {"metrics", "parameters"}]
    found = dict.fromkeys(name for row in flat for name in row)
    return flat, [*own, *(name for name in found if name not in own)]


def _spread(row: Row) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for name, value in row.items():
        if name in {"metrics", "parameters"}:
            plain |= {inner: item for inner, item in value.items() if inner not in row}
        else:
            plain[name] = json.dumps(value) if isinstance(value, dict | list) else value
    return plain


def _inert(value: Any) -> Any:
    """Text that a spreadsheet will not take for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in {"=", "+", "-", "@", "\t", "\r"} else value


_WRITERS: dict[Format, Callable[[Sequence[Row], Sequence[str]], bytes]] = {
    Format.NDJSON: _ndjson,
    Format.CSV: _csv,
    Format.PARQUET: _parquet,
}
