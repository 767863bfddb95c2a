"""Trials page by page: filtered, sorted by anything, continued by a cursor that later rows cannot shift."""

import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, false, literal, null, select, tuple_

from nefstudy.errors import BadConfig
from nefstudy.ledger.fetch import Found
from nefstudy.ledger.filters import Filter, compare, find, narrow
from nefstudy.ledger.rows import TEXTS, Page, StoredPage, TrialRow, TrialState
from nefstudy.ledger.schema import documents, trials
from nefstudy.ledger.texts import load
from nefstudy.scalars import canonical_json, digest

BATCH = 500  # rows read by number at a time: below every database's limit of parameters
_JOINED = select(trials, *(documents.c[name] for name in (*TEXTS, "error"))).join(
    documents, documents.c.trial_id == trials.c.id
)
_FULL = _JOINED.where(trials.c.id.in_(bindparam("numbers", expanding=True)))


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
    numbers, following = _numbers(connection, query, limit=limit, cursor=cursor)
    return Page(rows=tuple(full(connection, numbers)), cursor=following)


def stored_rows(connection: Connection, query: Query, *, limit: int | None, cursor: str | None) -> StoredPage:
    """The same trials, their texts undecoded."""
    numbers, following = _numbers(connection, query, limit=limit, cursor=cursor)
    return StoredPage(rows=tuple(_stored(connection, numbers)), cursor=following)


def _numbers(
    connection: Connection, query: Query, *, limit: int | None, cursor: str | None
) -> tuple[list[int], str | None]:
    if limit is not None and limit < 1:
        raise BadConfig(f"limit {limit} is not 1 or more; correct it, or leave it out for all")
    place = _place(cursor, signature=query.signature) if cursor is not None else None
    found: list[Row[Any]] = []
    for part in _parts(connection, query, place=place):
        found += connection.execute(part.limit(None if limit is None else limit + 1 - len(found)))
        if limit is not None and len(found) > limit:
            last = found[limit - 1]
            return [row.id for row in found[:limit]], _cursor(Place(last.sorted_by, last.id), query)
    return [row.id for row in found], None


def selection(connection: Connection, query: Query, *columns: Any) -> Select[Any]:
    """The query's trials as a SELECT of some columns, without order."""
    wanted = select(*columns).select_from(trials).where(trials.c.study == query.study)
    for column, value in ((trials.c.phase, query.phase), (trials.c.cell, query.cell), (trials.c.state, query.state)):
        if value is not None:
            wanted = wanted.where(column == value)
    return narrow(connection, wanted, study=query.study, filters=query.filters)


def full(connection: Connection, numbers: Sequence[int]) -> Iterator[TrialRow]:
    """The trials of these numbers, in the order given."""
    return map(trial_row, _stored(connection, numbers))


def _stored(connection: Connection, numbers: Sequence[int]) -> Iterator[Found]:
    for first in range(0, len(numbers), BATCH):
        batch = numbers[first : first + BATCH]
        rows = connection.execute(_FULL, {"numbers": batch})
        names = tuple(rows.keys())
        found = {row[0]: dict(zip(names, row, strict=True)) for row in rows}
        yield from (found[number] for number in batch)


def trial_row(row: Found) -> TrialRow:
    """A trial from its columns and documents."""
    values = {name: value for name, value in row.items() if name != "id"}
    values |= {name: load(values[name]) for name in TEXTS}
    values |= {"state": TrialState(values["state"]), "needs": tuple(values["needs"])}
    return TrialRow(**values)


def _parts(connection: Connection, query: Query, *, place: Place | None) -> list[Select[Any]]:
    """The ordered queries whose rows follow one another: those with the sort value, then those without it."""
    if query.sort is None:
        wanted = selection(connection, query, trials.c.id, null().label("sorted_by")).order_by(trials.c.id)
        return [wanted if place is None else wanted.where(trials.c.id > place.number)]
    down = query.sort.startswith("-")
    term = find(connection, query.study, name=query.sort.removeprefix("-"))
    value = term.column
    number = trials.c.id if term.source is None else term.source.c.trial_id  # both of one table: one index has them
    along = [f for f in query.filters if f.name == query.sort.removeprefix("-")]
    others = replace(query, filters=tuple(f for f in query.filters if f not in along))
    every = selection(connection, others, trials.c.id, value.label("sorted_by"))
    every = every.where(*(compare(value, f.op, term.value(f.value)) for f in along))  # a stretch of the order itself
    valued = term.join(every).where(value.is_not(None))
    valued = valued.order_by(value.desc() if down else value, number.desc() if down else number)
    empty = term.join(every, outer=True).where(value.is_(None)).order_by(trials.c.id)
    if place is None:
        parts = [valued, empty]
    elif place.value is None:
        parts = [valued.where(false()), empty.where(trials.c.id > place.number)]
    else:
        at = tuple_(value, number)
        last = tuple_(literal(term.value(place.value)), literal(place.number))
        parts = [valued.where(at < last if down else at > last), empty]
    return parts[:1] if along else parts


def _cursor(place: Place, query: Query) -> str:
    text = json.dumps([query.signature, place.value, place.number])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _place(cursor: str, *, signature: str) -> Place:
    try:
        text = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        made_for, value, number = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        raise BadConfig(f"cursor {cursor[:40]!r} was not given by this ledger; start without one") from None
    if made_for != signature or type(number) is not int or isinstance(value, list | dict):
        raise BadConfig(f"cursor {cursor[:40]!r} belongs to another query; start without one")
    return Place(value=value, number=number)
