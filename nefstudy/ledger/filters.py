"""Conditions on trials by name: a column, a metric or a parameter, compared with a value."""

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Boolean, Column, ColumnElement, Connection, Double, FromClause, Integer, Select, select

from nefstudy.errors import BadConfig
from nefstudy.ledger.schema import measures, names, trials
from nefstudy.scalars import Scalar

Op = Literal["=", "!=", "<", "<=", ">", ">="]
OPERATORS: dict[Op, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
KINDS = {"metrics.": "metric", "parameters.": "parameter"}  # a prefix says which, where a bare name is taken
FEW = 1000  # reading so many rows one by one costs what passing by thirty thousand does
COLUMNS = tuple(column.name for column in trials.c if column.name not in ("id", "study"))

_ALLOWED = " ".join(OPERATORS)
_TEXT = re.compile(r"^\s*([A-Za-z][\w.-]*)\s*(<=|>=|!=|=|<|>)\s*(.+?)\s*$")


@dataclass(frozen=True)
class Filter:
    """`name op value`; text is read as the kind of value that the name has."""

    name: str
    op: Op
    value: Scalar

    def __post_init__(self) -> None:
        if self.op not in OPERATORS:
            raise BadConfig(f"filter on {self.name}: operator {self.op!r} is not one of {_ALLOWED}; correct it")

    @classmethod
    def parse(cls, text: str) -> "Filter":
        """The filter written as `val_accuracy>=0.8`, `init=shared` or `omega_0<30`."""
        found = _TEXT.match(text)
        if found is None:
            asked = f"`name op value` with op one of {_ALLOWED}"
            raise BadConfig(f"filter {text[:80]!r} is not {asked}; write e.g. val_accuracy>=0.8")
        name, op, value = found.groups()
        return cls(name, op, value)  # type: ignore[arg-type]  # the pattern lets only the six operators through


@dataclass(frozen=True)
class Term:
    """A name found: a column of trials, or the rows of measures that hold its values."""

    name: str
    column: Column[Any]
    source: FromClause | None = None
    name_id: int | None = None

    def join(self, query: Select[Any], *, outer: bool = False) -> Select[Any]:
        """The query over the trials that have this term's value; with `outer`, over all, NULL where it is absent."""
        if self.source is None:
            return query
        mine = (self.source.c.trial_id == trials.c.id) & (self.source.c.name_id == self.name_id)
        return query.join(self.source, mine, isouter=outer)

    def value(self, given: Scalar) -> Any:
        """A given value as the column's kind.

        Raises:
            BadConfig: text where a number is needed.
        """
        kind = self.column.type
        try:
            if isinstance(kind, Boolean):
                return {"true": True, "1": True, "false": False, "0": False}[str(given).lower()]
            return float(given) if isinstance(kind, Double | Integer) else str(given)
        except (KeyError, ValueError):
            kinds = "true or false" if isinstance(kind, Boolean) else "a number"
            raise BadConfig(f"filter on {self.name}: {given!r} is not {kinds}; correct it") from None


def find(connection: Connection, study: str, *, name: str) -> Term:
    """Return the term that a name means in a study: a column first, then a parameter, then a metric.

    `metrics.NAME` and `parameters.NAME` mean what the prefix says, whatever else has the bare name.

    Raises:
        BadConfig: nothing has this name.
    """
    term = find_or_none(connection, study, name=name)
    if term is None:
        known = connection.execute(select(names.c.name).where(names.c.study == study).order_by(names.c.name)).scalars()
        allowed = ", ".join(dict.fromkeys([*COLUMNS, *known]))
        raise BadConfig(f"no trial of study {study!r} has {name[:80]!r}; allowed: {allowed}")
    return term


def find_or_none(connection: Connection, study: str, *, name: str) -> Term | None:
    """Return the term that a name means in a study, None when no trial has it."""
    if name in COLUMNS:
        return Term(name, trials.c[name])
    prefix, bare = next(((p, name.removeprefix(p)) for p in KINDS if name.startswith(p)), ("", name))
    known = select(names.c.id, names.c.textual).where(names.c.study == study, names.c.name == bare)
    if prefix:
        known = known.where(names.c.kind == KINDS[prefix])
    row = connection.execute(known.order_by(names.c.kind.desc())).first()  # a parameter before a metric
    if row is None:
        return None
    source = measures.alias()
    return Term(name, source.c.word if row.textual else source.c.number, source=source, name_id=row.id)


def narrow(connection: Connection, query: Select[Any], *, study: str, filters: Sequence[Filter]) -> Select[Any]:
    """The query with every filter applied; a trial without the value passes none.

    A filter that few trials pass is where the database shall start; one that many pass shall only be looked up
    along the order of the page. Databases guess which is which, and wrongly; so they are asked first.
    """
    few: list[set[int]] = []
    for wanted in filters:
        term = find(connection, study, name=wanted.name)
        value = term.value(wanted.value)
        passes = compare(term.column, wanted.op, value)
        if term.source is None:
            query = query.where(passes)
            continue
        passing = select(term.source.c.trial_id).where(term.source.c.name_id == term.name_id, passes)
        found = connection.execute(passing.limit(FEW)).scalars().all()
        if len(found) < FEW:
            few.append(set(found))
        else:
            # a scalar subquery stays where it is put: joins and EXISTS are turned around by PostgreSQL
            its = select(term.column).where(
                term.source.c.trial_id == trials.c.id, term.source.c.name_id == term.name_id
            )
            query = query.where(compare(its.scalar_subquery(), wanted.op, value))
    return query.where(trials.c.id.in_(sorted(set.intersection(*few)))) if few else query


def compare(column: ColumnElement[Any], op: Op, value: Any) -> ColumnElement[bool]:
    """The condition of a filter on a column."""
    if isinstance(value, bool):
        return column.is_(value) if op == "=" else column.is_(not value)
    compared: ColumnElement[bool] = OPERATORS[op](column, value)
    return compared
