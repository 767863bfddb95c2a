"""Columns of many trials: fixed columns, parameters and metrics as lists of equal length."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Double, null, select

from nefstudy.ledger.sql.fetch import load
from nefstudy.ledger.sql.filters import Term, find_or_none
from nefstudy.ledger.sql.pages import Query, selection
from nefstudy.ledger.sql.schema import documents, measures, names, trials


def read_columns(connection: Connection, query: Query, columns: Sequence[str]) -> dict[str, list[Any]]:
    """Return columns of a query's trials in order of creation, with None for missing values."""
    terms = [find_or_none(connection, query.study, name=name) for name in columns]
    every = selection(connection, query, *(null() if term is None else term.column for term in terms))
    for term in terms:
        every = every if term is None else term.join(every, outer=True)
    rows = connection.execute(every.order_by(trials.c.id)).all()
    return {
        name: _as_recorded(connection, [row[index] for row in rows], term=term)
        for index, (name, term) in enumerate(zip(columns, terms, strict=True))
    }


def _as_recorded(connection: Connection, values: list[Any], *, term: Term | None) -> list[Any]:
    """Convert numbers back to integers if the trials recorded integers.

    `measures` stores every number as a float. Only one trial's document is checked, because reading those of all
    trials would take seconds. A column with a fraction stays a column of floats.
    """
    if term is None or term.name_id is None or not isinstance(term.column.type, Double):
        return values
    is_whole = all(value is None or value.is_integer() for value in values)
    if not is_whole or not _is_integer(connection, term.name_id):
        return values
    return [None if value is None else int(value) for value in values]


def _is_integer(connection: Connection, name_id: int) -> bool:
    """Return whether the first trial with the given parameter or metric recorded an integer."""
    query = select(names.c.kind, names.c.name, documents.c.parameters, documents.c.metrics)
    query = query.join_from(measures, names, names.c.id == measures.c.name_id)
    query = query.join(documents, documents.c.trial_id == measures.c.trial_id)
    query = query.where(measures.c.name_id == name_id, measures.c.number.is_not(None)).limit(1)
    row = connection.execute(query).first()
    if row is None:
        return False
    values = load(row.parameters if row.kind == "parameter" else row.metrics)
    return type(values.get(row.name)) is int  # a bool is an int too, but not a number
