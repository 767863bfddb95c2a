"""Events: what happened, numbered in the order of its commit, for those who follow."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, func, insert, select

from nefstudy.ledger.fetch import fetch
from nefstudy.ledger.rows import EventRow
from nefstudy.ledger.schema import events
from nefstudy.ledger.texts import dump, load
from nefstudy.outside_text import safe_error

_APPEND = insert(events).returning(events.c.seq)  # built once: building a statement costs more than running it


def append(
    connection: Connection,
    study: str,
    *,
    kind: str,
    phase: str | None = None,
    key: str | None = None,
    data: Mapping[str, Any] | None = None,
    now: float,
) -> int:
    """The number of a new event, higher than every event committed before it."""
    values = {"study": study, "kind": kind, "phase": phase, "key": key, "data": dump(_safe(data or {})), "at": now}
    return int(connection.execute(_APPEND, values).scalar_one())


def _safe(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same data, its texts without secrets and bounded: they may quote an error or a command."""
    return {name: safe_error(value) if isinstance(value, str) else value for name, value in data.items()}


def since(connection: Connection, seq: int, *, study: str | None, limit: int) -> list[EventRow]:
    """The events after number `seq`, oldest first."""
    query = select(events).where(events.c.seq > seq).order_by(events.c.seq).limit(limit)
    if study is not None:
        query = query.where(events.c.study == study)
    return [EventRow(**(row | {"data": load(row["data"])})) for row in fetch(connection, query)]


def last_seq(connection: Connection, *, study: str | None) -> int:
    """The number of the latest event, 0 before the first."""
    query = select(func.max(events.c.seq))
    if study is not None:
        query = query.where(events.c.study == study)
    return int(connection.execute(query).scalar() or 0)


def latest(connection: Connection, study: str, *, kind: str, among: int) -> EventRow | None:
    """The latest event of a kind among the study's last ones, None where they hold none."""
    last = select(events).where(events.c.study == study).order_by(events.c.seq.desc()).limit(among).subquery()
    query = select(last).where(last.c.kind == kind).order_by(last.c.seq.desc()).limit(1)
    return next((EventRow(**(row | {"data": load(row["data"])})) for row in fetch(connection, query)), None)


def last_of_kind(connection: Connection, study: str, *, kind: str) -> EventRow | None:
    """Return a study's latest event of a kind; the search takes longer the more events came later."""
    query = select(events).where(events.c.study == study, events.c.kind == kind).order_by(events.c.seq.desc()).limit(1)
    return next((EventRow(**(row | {"data": load(row["data"])})) for row in fetch(connection, query)), None)
