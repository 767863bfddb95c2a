"""Filters on trials: a column, metric or parameter compared with a value."""

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Boolean, Column, ColumnElement, Connection, Double, FromClause, Integer, Select, select

from nefstudy.errors import BadConfig
from nefstudy.ledger.sql.schema import measures, names, trials
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
KINDS = {"metrics.": "metric", "parameters.": "parameter"}  # prefixes for names that something else shares
FEW = 1000  # rows: looking up this many by id costs about as much as scanning thirty thousand
COLUMNS = tuple(column.name for column in trials.c if column.name not in ("id", "study"))

_ALLOWED = " ".join(OPERATORS)
_TEXT = re.compile(r"^\s*([A-Za-z_][\w.-]*)\s*(<=|>=|!=|=|<|>)\s*(.+?)\s*$")


@dataclass(frozen=True)
class Filter:
    """A condition `name op value`; a text value is converted to the type of the named column."""

    name: str
    op: Op
    value: Scalar

    def __post_init__(self) -> None:
        if self.op not in OPERATORS:
            raise BadConfig(f"filter on {self.name}: operator {self.op!r} is not one of {_ALLOWED}; use one of these")

    @classmethod
    def parse(cls, text: str) -> "Filter":
        """Parse a filter such as `val_accuracy>=0.8`, `init=shared` or `omega_0<30`."""
        match = _TEXT.match(text)
        if match is None:
            form = f"`name op value` with op one of {_ALLOWED}"
            raise BadConfig(f"filter {text[:80]!r} is not {form}; write e.g. val_accuracy>=0.8")
        name, op, value = match.groups()
        return cls(name, op, value)  # type: ignore[arg-type]  # the pattern matches only the six operators


@dataclass(frozen=True)
class Term:
    """A resolved name: a column of `trials`, or the rows of `measures` that hold its values."""

    name: str
    column: Column[Any]
    source: FromClause | None = None
    name_id: int | None = None

    def join(self, query: Select[Any], *, outer: bool = False) -> Select[Any]:
        """Join the term's values to a query; trials without a value are dropped unless `outer`."""
        if self.source is None:
            return query
        matches = (self.source.c.trial_id == trials.c.id) & (self.source.c.name_id == self.name_id)
        return query.join(self.source, matches, isouter=outer)

    def value(self, given: Scalar) -> Any:
        """Convert a value to the column's type.

        Raises:
            BadConfig: the value is not a number or truth value where the column needs one.
        """
        kind = self.column.type
        try:
            if isinstance(kind, Boolean):
                return {"true": True, "1": True, "false": False, "0": False}[str(given).lower()]
            return float(given) if isinstance(kind, Double | Integer) else str(given)
        except (KeyError, ValueError):
            allowed = "true or false" if isinstance(kind, Boolean) else "a number"
            raise BadConfig(f"filter on {self.name}: {given!r} is not {allowed}; correct it") from None


def find(connection: Connection, study: str, *, name: str) -> Term:
    """Resolve a name in a study to a column, parameter or metric, in this order of precedence.

    `metrics.NAME` and `parameters.NAME` always mean the metric or the parameter.

    Raises:
        BadConfig: no column, parameter or metric has this name.
    """
    term = find_or_none(connection, study, name=name)
    if term is None:
        known = connection.execute(select(names.c.name).where(names.c.study == study).order_by(names.c.name)).scalars()
        allowed = ", ".join(dict.fromkeys([*COLUMNS, *known]))
        raise BadConfig(f"no trial of study {study!r} has {name[:80]!r}; allowed: {allowed}")
    return term


def find_or_none(connection: Connection, study: str, *, name: str) -> Term | None:
    """Resolve a name as `find` does, but return None if no trial has the name."""
    if name in COLUMNS:
        return Term(name, trials.c[name])
    prefix, bare = next(((p, name.removeprefix(p)) for p in KINDS if name.startswith(p)), ("", name))
    known = select(names.c.id, names.c.textual).where(names.c.study == study, names.c.name == bare)
    if prefix:
        known = known.where(names.c.kind == KINDS[prefix])
    row = connection.execute(known.order_by(names.c.kind.desc())).first()  # descending: a parameter before a metric
    if row is None:
        return None
    source = measures.alias()
    return Term(name, source.c.word if row.textual else source.c.number, source=source, name_id=row.id)


def apply_filters(connection: Connection, query: Select[Any], *, study: str, filters: Sequence[Filter]) -> Select[Any]:
    """Return the query with every filter applied.

    A trial without a value matches no filter on that value.

    A selective filter becomes a list of ids, where the database starts; any other is checked row by row in the order
    of the page. Query planners guess which filters are selective, and guess wrong, so this counts the matches first.
    """
    few: list[set[int]] = []
    for condition in filters:
        term = find(connection, study, name=condition.name)
        value = term.value(condition.value)
        matches = compare(term.column, condition.op, value)
        if term.source is None:
            query = query.where(matches)
            continue
        matching = select(term.source.c.trial_id).where(term.source.c.name_id == term.name_id, matches)
        ids = connection.execute(matching.limit(FEW)).scalars().all()
        if len(ids) < FEW:
            few.append(set(ids))
        else:
            # PostgreSQL evaluates a scalar subquery per row, as intended; it would reorder a join or EXISTS
            own_value = select(term.column).where(
                term.source.c.trial_id == trials.c.id, term.source.c.name_id == term.name_id
            )
            query = query.where(compare(own_value.scalar_subquery(), condition.op, value))
    return query.where(trials.c.id.in_(sorted(set.intersection(*few)))) if few else query


def compare(column: ColumnElement[Any], op: Op, value: Any) -> ColumnElement[bool]:
    """Return the SQL condition that compares a column with a value."""
    if isinstance(value, bool):
        return column.is_(value) if op == "=" else column.is_(not value)
    compared: ColumnElement[bool] = OPERATORS[op](column, value)
    return compared
