"""Events: changes to studies and trials, numbered in commit order."""

from collections.abc import Mapping
from typing import Any, final

from sqlalchemy import Connection, Select, func, insert, select

from nefstudy.ledger.sql.access import Access
from nefstudy.ledger.sql.fetch import dump, load
from nefstudy.ledger.sql.rows import EventRow
from nefstudy.ledger.sql.schema import events
from nefstudy.outside_text import safe_error

_APPEND = insert(events).returning(events.c.seq)  # built once: building the statement costs more than running it


@final
class Events:
    """The events of a ledger."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def append(
        self,
        study: str,
        kind: str,
        *,
        phase: str | None = None,
        key: str | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> int:
        """Append an event and return its number, which is higher than that of every earlier event."""
        return self._access.write(lambda c, now: append(c, study, kind=kind, phase=phase, key=key, data=data, now=now))

    def since(self, seq: int, *, study: str | None = None, limit: int = 1000) -> list[EventRow]:
        """Return the events after number `seq`, oldest first."""
        query = select(events).where(events.c.seq > seq).order_by(events.c.seq).limit(limit)
        return self._select(query if study is None else query.where(events.c.study == study))

    def last_seq(self, study: str | None = None) -> int:
        """Return the number of the latest event.

        Every change to a study's trials, counts, state or commands appends an event.
        """
        query = select(func.max(events.c.seq))
        if study is not None:
            query = query.where(events.c.study == study)
        return int(self._access.rows(query)[0][0] or 0)

    def latest(self, study: str, kind: str, *, among: int = 5000) -> EventRow | None:
        """Return the latest event of a kind among a study's last `among` events, or None."""
        last = select(events).where(events.c.study == study).order_by(events.c.seq.desc()).limit(among).subquery()
        rows = self._select(select(last).where(last.c.kind == kind).order_by(last.c.seq.desc()).limit(1))
        return next(iter(rows), None)

    def last_of_kind(self, study: str, kind: str) -> EventRow | None:
        """Return a study's latest event of a kind, or None.

        The search scans all events after it.
        """
        query = select(events).where(events.c.study == study, events.c.kind == kind)
        return next(iter(self._select(query.order_by(events.c.seq.desc()).limit(1))), None)

    def _select(self, query: Select[Any]) -> list[EventRow]:
        return [EventRow(**(row._asdict() | {"data": load(row.data)})) for row in self._access.rows(query)]


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
    """Append an event within a transaction and return its number."""
    values = {"study": study, "kind": kind, "phase": phase, "key": key, "data": dump(_safe(data or {})), "at": now}
    return int(connection.execute(_APPEND, values).scalar_one())


def _safe(data: Mapping[str, Any]) -> dict[str, Any]:
    """Redact and truncate the text values of an event, which may quote an error or a command."""
    return {name: safe_error(value) if isinstance(value, str) else value for name, value in data.items()}
