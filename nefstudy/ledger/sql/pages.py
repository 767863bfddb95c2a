"""Pages of trials, filtered and sorted by any value, with cursors that stay valid when rows are added."""

import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, false, literal, null, select, tuple_

from nefstudy.errors import BadConfig
from nefstudy.ledger.sql.fetch import RowDict, load
from nefstudy.ledger.sql.filters import Filter, apply_filters, compare, find
from nefstudy.ledger.sql.rows import TEXTS, StoredPage, TrialRow, TrialRowPage, TrialState
from nefstudy.ledger.sql.schema import documents, trials
from nefstudy.scalars import canonical_json, digest

BATCH = 500  # ids per query, below every database's limit of parameters
_JOINED = select(trials, *(documents.c[name] for name in (*TEXTS, "error"))).join(
    documents, documents.c.trial_id == trials.c.id
)
_SELECT_BY_ID = _JOINED.where(trials.c.id.in_(bindparam("ids", expanding=True)))


@dataclass(frozen=True)
class Query:
    """A selection of a study's trials and its sort order."""

    study: str
    phase: str | None = None
    cell: str | None = None
    state: TrialState | None = None
    filters: tuple[Filter, ...] = ()
    sort: str | None = None

    @property
    def signature(self) -> str:
        """Digest of the query; a cursor contains this digest and is valid only for its query."""
        filters = [[f.name, f.op, f.value] for f in self.filters]
        return digest(canonical_json([self.study, self.phase, self.cell, self.state, filters, self.sort]))[:8]


@dataclass(frozen=True)
class Cursor:
    """The position after a page: the last row's id, and its sort value or None."""

    value: Any
    id: int


def rows(connection: Connection, query: Query, *, limit: int | None, cursor: str | None) -> TrialRowPage:
    """Return the next `limit` trials after the cursor; trials without the sort value come last."""
    ids, next_cursor = _page_ids(connection, query, limit=limit, cursor=cursor)
    return TrialRowPage(rows=tuple(rows_by_id(connection, ids)), cursor=next_cursor)


def stored_rows(connection: Connection, query: Query, *, limit: int | None, cursor: str | None) -> StoredPage:
    """Return the same trials as `rows`, with their JSON texts left undecoded."""
    ids, next_cursor = _page_ids(connection, query, limit=limit, cursor=cursor)
    return StoredPage(rows=tuple(_stored(connection, ids)), cursor=next_cursor)


def _page_ids(
    connection: Connection, query: Query, *, limit: int | None, cursor: str | None
) -> tuple[list[int], str | None]:
    if limit is not None and limit < 1:
        raise BadConfig(f"limit {limit} is not 1 or more; correct it, or omit it for all rows")
    after = _decode(cursor, signature=query.signature) if cursor is not None else None
    selected: list[Row[Any]] = []
    for part in _parts(connection, query, after=after):
        selected += connection.execute(part.limit(None if limit is None else limit + 1 - len(selected)))
        if limit is not None and len(selected) > limit:
            last = selected[limit - 1]
            return [row.id for row in selected[:limit]], _encode(Cursor(last.sorted_by, last.id), query)
    return [row.id for row in selected], None


def selection(connection: Connection, query: Query, *columns: Any) -> Select[Any]:
    """Return a SELECT of columns over the query's trials, unordered."""
    statement = select(*columns).select_from(trials).where(trials.c.study == query.study)
    for column, value in ((trials.c.phase, query.phase), (trials.c.cell, query.cell), (trials.c.state, query.state)):
        if value is not None:
            statement = statement.where(column == value)
    return apply_filters(connection, statement, study=query.study, filters=query.filters)


def rows_by_id(connection: Connection, ids: Sequence[int]) -> Iterator[TrialRow]:
    """Return the trials with the given ids, in the order of the ids."""
    return map(trial_row, _stored(connection, ids))


def _stored(connection: Connection, ids: Sequence[int]) -> Iterator[RowDict]:
    for first in range(0, len(ids), BATCH):
        batch = ids[first : first + BATCH]
        rows = connection.execute(_SELECT_BY_ID, {"ids": batch})
        names = tuple(rows.keys())
        by_id = {row[0]: dict(zip(names, row, strict=True)) for row in rows}
        yield from (by_id[id] for id in batch)


def trial_row(row: RowDict) -> TrialRow:
    """Convert a row of the joined tables to a trial, decoding its JSON texts."""
    values = {name: value for name, value in row.items() if name != "id"}
    values |= {name: load(values[name]) for name in TEXTS}
    values |= {"state": TrialState(values["state"]), "needs": tuple(values["needs"])}
    return TrialRow(**values)


def _parts(connection: Connection, query: Query, *, after: Cursor | None) -> list[Select[Any]]:
    """Return the queries for a page in order: rows that have the sort value, then rows that lack it."""
    if query.sort is None:
        statement = selection(connection, query, trials.c.id, null().label("sorted_by")).order_by(trials.c.id)
        return [statement if after is None else statement.where(trials.c.id > after.id)]
    descending = query.sort.startswith("-")
    term = find(connection, query.study, name=query.sort.removeprefix("-"))
    value = term.column
    id = trials.c.id if term.source is None else term.source.c.trial_id  # from the value's table: one index covers both
    on_sort = [f for f in query.filters if f.name == query.sort.removeprefix("-")]
    others = replace(query, filters=tuple(f for f in query.filters if f not in on_sort))
    every = selection(connection, others, trials.c.id, value.label("sorted_by"))
    every = every.where(*(compare(value, f.op, term.value(f.value)) for f in on_sort))  # a range of the sort order
    valued = term.join(every).where(value.is_not(None))
    valued = valued.order_by(value.desc() if descending else value, id.desc() if descending else id)
    empty = term.join(every, outer=True).where(value.is_(None)).order_by(trials.c.id)
    if after is None:
        parts = [valued, empty]
    elif after.value is None:
        parts = [valued.where(false()), empty.where(trials.c.id > after.id)]
    else:
        at = tuple_(value, id)
        last = tuple_(literal(term.value(after.value)), literal(after.id))
        parts = [valued.where(at < last if descending else at > last), empty]
    return parts[:1] if on_sort else parts


def _encode(cursor: Cursor, query: Query) -> str:
    text = json.dumps([query.signature, cursor.value, cursor.id])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode(cursor: str, *, signature: str) -> Cursor:
    try:
        text = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        cursor_signature, value, id = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        raise BadConfig(f"cursor {cursor[:40]!r} is not a cursor of this ledger; start without one") from None
    if cursor_signature != signature or type(id) is not int or isinstance(value, list | dict):
        raise BadConfig(f"cursor {cursor[:40]!r} belongs to another query; start without one")
    return Cursor(value=value, id=id)
