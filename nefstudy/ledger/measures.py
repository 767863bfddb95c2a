"""Every metric and parameter of every trial as indexed (trial, name, value) rows."""

import math
import sys
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from nefstudy.ledger import schema
from nefstudy.scalars import Scalar

_RECORD = insert(schema.measures)
_KNOWN = select(schema.names.c.name, schema.names.c.id, schema.names.c.textual).where(
    schema.names.c.study == bindparam("of_study"), schema.names.c.kind == bindparam("of_kind")
)


def record(connection: Connection, study: str, *, trial_id: int, kind: str, values: Mapping[str, Scalar]) -> None:
    """Store values of a trial under their names; a NaN has no place in an order and is left out."""
    known = _known(connection, study, kind=kind, values=values)
    rows: list[dict[str, Any]] = []
    for name, value in values.items():
        name_id, textual = known[name]
        if textual:
            rows.append({"trial_id": trial_id, "name_id": name_id, "number": None, "word": str(value)})
        elif not isinstance(value, str) and not math.isnan(value):
            rows.append({"trial_id": trial_id, "name_id": name_id, "number": float(value), "word": None})
    if rows:
        connection.execute(_RECORD, rows)


def score(connection: Connection, study: str, phase: str, *, cell: str, metric: str) -> None:
    """Set the score of every trial of a cell to its finite value of a metric, NULL without one."""
    names, measures, trials = schema.names, schema.measures, schema.trials
    name_id = select(names.c.id).where(names.c.study == study, names.c.kind == "metric", names.c.name == metric)
    value = select(measures.c.number).where(
        measures.c.trial_id == trials.c.id,
        measures.c.name_id == name_id.scalar_subquery(),
        measures.c.number.between(-sys.float_info.max, sys.float_info.max),
    )
    at = (trials.c.study == study) & (trials.c.phase == phase) & (trials.c.cell == cell)
    connection.execute(update(trials).where(at).values(score=value.scalar_subquery()))


def _known(
    connection: Connection, study: str, *, kind: str, values: Mapping[str, Scalar]
) -> dict[str, tuple[int, bool]]:
    table = schema.names
    found = connection.execute(_KNOWN, {"of_study": study, "of_kind": kind})
    known = {name: (int(name_id), bool(textual)) for name, name_id, textual in found}
    for name, value in values.items():
        if name not in known:
            new = (
                insert(table)
                .values(study=study, kind=kind, name=name, textual=isinstance(value, str))
                .returning(table.c.id)
            )
            known[name] = (int(connection.execute(new).scalar_one()), isinstance(value, str))
    return known
