"""Conditions on trials by name: a column, a metric or a parameter, compared with a value."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from sqlalchemy import Boolean, Column, Connection, Double, FromClause, Integer, Select, select

from nefstudy.config import Scalar
from nefstudy.errors import BadConfig
from nefstudy.ledger.schema import measures, names, trials

Op = Literal["=", "!=", "<", "<=", ">", ">="]
OPS: tuple[Op, ...] = get_args(Op)
COLUMNS = tuple(column.name for column in trials.c if column.name not in ("id", "study"))

_TEXT = re.compile(r"^\s*([A-Za-z][\w.-]*)\s*(<=|>=|!=|=|<|>)\s*(.+?)\s*$")


@dataclass(frozen=True)
class Filter:
    """`name op value`; text is read as the kind of value that the name has."""

    name: str
    op: Op
    value: Scalar

    def __post_init__(self) -> None:
        if self.op not in OPS:
            raise BadConfig(f"filter on {self.name}: operator {self.op!r} is not one of {' '.join(OPS)}; correct it")

    @classmethod
    def parse(cls, text: str) -> "Filter":
        """The filter written as `val_accuracy>=0.8`, `start=shared` or `field.omega_0<30`."""
        found = _TEXT.match(text)
        if found is None:
            raise BadConfig(
                f"filter {text!r} is not `name op value` with op one of {' '.join(OPS)}; write e.g. val_accuracy>=0.8"
            )
        name, op, value = found.groups()
        return cls(name, op, value)  # type: ignore[arg-type]  # the pattern lets only the six operators through


@dataclass(frozen=True)
class Term:
    """A name found: the column that holds its values, and the measure it has to be joined through, if any."""

    column: Column[Any]
    source: FromClause | None
    name_id: int | None

    def join(self, query: Select[Any]) -> Select[Any]:
        """The query over trials that also have this term's value."""
        if self.source is None:
            return query
        return query.join(
            self.source, (self.source.c.trial_id == trials.c.id) & (self.source.c.name_id == self.name_id)
        )

    def outer_join(self, query: Select[Any]) -> Select[Any]:
        """The query over all trials, with this term's value or NULL."""
        if self.source is None:
            return query
        return query.outerjoin(
            self.source, (self.source.c.trial_id == trials.c.id) & (self.source.c.name_id == self.name_id)
        )

    def value(self, given: Scalar, *, name: str) -> Any:
        """A given value as the column's kind.

        Raises:
            BadConfig: text where a number is needed.
        """
        kind = self.column.type
        try:
            if isinstance(kind, Boolean):
                return {"true": True, "1": True, "false": False, "0": False}[str(given).lower()]
            if isinstance(kind, Double):
                return float(given)
            if isinstance(kind, Integer):
                return float(given)
            return str(given)
        except (KeyError, ValueError):
            raise BadConfig(
                f"filter on {name}: {given!r} is not a value of it; give a number, or true or false"
            ) from None


def find(connection: Connection, study: str, *, name: str) -> Term:
    """The term a name stands for in a study: a column first, then a metric, then a parameter.

    Raises:
        BadConfig: nothing has this name.
    """
    if name in COLUMNS:
        return Term(column=trials.c[name], source=None, name_id=None)
    query = (
        select(names.c.id, names.c.textual)
        .where(names.c.study == study, names.c.name == name)
        .order_by(names.c.kind)  # metric before parameter
    )
    row = connection.execute(query).first()
    if row is None:
        known = connection.execute(select(names.c.name).where(names.c.study == study).order_by(names.c.name)).scalars()
        allowed = ", ".join([*COLUMNS, *dict.fromkeys(known)])
        raise BadConfig(f"no trial of study {study!r} has {name!r}; allowed: {allowed}")
    source = measures.alias()
    return Term(column=source.c.word if row.textual else source.c.number, source=source, name_id=row.id)


def narrow(connection: Connection, query: Select[Any], *, study: str, filters: Sequence[Filter]) -> Select[Any]:
    """The query with every filter applied; a trial without the value passes none."""
    for wanted in filters:
        term = find(connection, study, name=wanted.name)
        value = term.value(wanted.value, name=wanted.name)
        query = term.join(query).where(_compare(term.column, wanted.op, value))
    return query


def _compare(column: Column[Any], op: Op, value: Any) -> Any:
    if isinstance(value, bool):
        return column.is_(value) if op == "=" else column.is_(not value)
    return {
        "=": column == value,
        "!=": column != value,
        "<": column < value,
        "<=": column <= value,
        ">": column > value,
        ">=": column >= value,
    }[op]
