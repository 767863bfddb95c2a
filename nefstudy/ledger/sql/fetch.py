"""Query helpers: functions that fetch rows as dictionaries, and that encode and decode JSON columns."""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Executable

RowDict = dict[str, Any]


def fetch(connection: Connection, query: Executable, params: Mapping[str, Any] | None = None) -> list[RowDict]:
    """Return the rows of a query as dictionaries by column name."""
    return [row._asdict() for row in connection.execute(query, params or {})]


def fetch_one(connection: Connection, query: Executable, params: Mapping[str, Any] | None = None) -> RowDict | None:
    """Return the single row of a query, or None if there is none."""
    row = connection.execute(query, params or {}).one_or_none()
    return None if row is None else row._asdict()


def dump(value: Any) -> str:
    """Encode plain data as compact JSON text."""
    return json.dumps(value, separators=(",", ":"))


def load(text: str) -> Any:
    """Decode plain data from JSON text."""
    return json.loads(text)
