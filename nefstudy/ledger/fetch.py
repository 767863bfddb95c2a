"""Rows as plain dictionaries."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Executable

Found = dict[str, Any]


def fetch(connection: Connection, query: Executable, given: Mapping[str, Any] | None = None) -> list[Found]:
    """The rows of a query, each by the names of its columns."""
    return [row._asdict() for row in connection.execute(query, given or {})]


def fetch_one(connection: Connection, query: Executable, given: Mapping[str, Any] | None = None) -> Found | None:
    """The one row of a query, None when it has none."""
    row = connection.execute(query, given or {}).one_or_none()
    return None if row is None else row._asdict()
