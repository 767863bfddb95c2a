"""Trials page by page: filtered, sorted by anything, continued by a cursor that later rows cannot shift."""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, and_, or_, select

from nefstudy.config import canonical_json, digest
from nefstudy.errors import BadConfig
from nefstudy.ledger.filters import Filter, find, narrow
from nefstudy.ledger.rows import Page, TrialRow, TrialState
from nefstudy.ledger.schema import documents, trials
from nefstudy.ledger.texts import load


@dataclass(frozen=True)
class Query:
    """Which trials, in which order."""

    study: str
    phase: str | None = None
    cell: str | None = None
    state: TrialState | None = None
    filters: tuple[Filter, ...] = ()
    sort: str | None = None

    @property
    def signature(self) -> str:
        """What a cursor must have been made for."""
        filters = [[f.name, f.op, f.value] for f in self.filters]
        return digest(canonical_json([self.study, self.phase, self.cell, self.state, filters, self.sort]))[:8]


@dataclass(frozen=True)
class Place:
    """The last row given: its sort value (None when it had none) and its number."""

    value: Any
    number: int


def rows(connection: Connection, query: Query, *, limit: int | None, cursor: str | None) -> Page:
    """The next `limit` trials after the cursor; those without the sort value come last."""
    place = _place(cursor, signature=query.signature) if cursor is not None else None
    found: list[RowMapping] = []
    for part in _parts(connection, query, place=place):
        wanted = None if limit is None else limit + 1 - len(found)
        found += connection.execute(part.limit(wanted)).mappings().all()
        if limit is not None and len(found) > limit:
            last = found[limit - 1]
            following = _cursor(Place(last["sorted_by"], last["id"]), query)
            return Page(rows=tuple(map(trial_row, found[:limit])), cursor=following)
    return Page(rows=tuple(map(trial_row, found)), cursor=None)


def selection(connection: Connection, query: Query, *, columns: Sequence[Any]) -> Select[Any]:
    """The query's trials as a SELECT of some columns, without order."""
    wanted = select(*columns).where(trials.c.study == query.study)
    for column, value in ((trials.c.phase, query.phase), (trials.c.cell, query.cell), (trials.c.state, query.state)):
        if value is not None:
            wanted = wanted.where(column == value)
    return narrow(connection, wanted, study=query.study, filters=query.filters)


def full(connection: Connection, query: Query, *, sorted_by: Any) -> Select[Any]:
    """The query's trials with their documents, ready for `trial_row`."""
    texts = [documents.c.config, documents.c.metrics, documents.c.fingerprint, documents.c.error]
    wanted = selection(connection, query, columns=[trials, *texts, sorted_by.label("sorted_by")])
    return wanted.join(documents, documents.c.trial_id == trials.c.id)


def trial_row(row: RowMapping) -> TrialRow:
    """A trial from its columns and documents."""
    values = {name: value for name, value in row.items() if name not in ("id", "sorted_by")}
    values["state"] = TrialState(values["state"])
    for name in ("config", "metrics", "fingerprint"):
        values[name] = load(values[name])
    return TrialRow(**values)


def _parts(connection: Connection, query: Query, *, place: Place | None) -> list[Select[Any]]:
    """The ordered queries whose rows follow one another: those with the sort value, then those without it."""
    if query.sort is None:
        wanted = full(connection, query, sorted_by=trials.c.id).order_by(trials.c.id)
        return [wanted if place is None else wanted.where(trials.c.id > place.number)]
    down = query.sort.startswith("-")
    term = find(connection, query.study, name=query.sort.removeprefix("-"))
    value, number = term.column, trials.c.id
    valued = term.join(full(connection, query, sorted_by=value)).where(value.is_not(None))
    valued = valued.order_by(value.desc() if down else value, number.desc() if down else number)
    empty = term.outer_join(full(connection, query, sorted_by=value)).where(value.is_(None)).order_by(number)
    if place is None:
        return [valued, empty]
    if place.value is None:
        return [empty.where(number > place.number)]
    after = value < place.value if down else value > place.value
    tied = and_(value == place.value, number < place.number if down else number > place.number)
    return [valued.where(or_(after, tied)), empty]


def _cursor(place: Place, query: Query) -> str:
    text = json.dumps([query.signature, place.value, place.number])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _place(cursor: str, *, signature: str) -> Place:
    try:
        text = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        made_for, value, number = json.loads(text)
    except (ValueError, binascii.Error, UnicodeError):
        raise BadConfig(f"cursor {cursor[:40]!r} was not given by this ledger; start without one") from None
    if made_for != signature or type(number) is not int or isinstance(value, list | dict):
        raise BadConfig(f"cursor {cursor[:40]!r} belongs to another query; start without one")
    return Place(value=value, number=number)
