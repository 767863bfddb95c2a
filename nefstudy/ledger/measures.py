"""Metrics and parameters of all trials as indexed (trial, name, value) rows."""

import math
import sys
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from nefstudy.ledger.sql import schema
from nefstudy.scalars import Scalar

_INSERT_MEASURES = insert(schema.measures)
_SELECT_NAMES = select(schema.names.c.name, schema.names.c.id, schema.names.c.textual).where(
    schema.names.c.study == bindparam("of_study"), schema.names.c.kind == bindparam("of_kind")
)


def record(connection: Connection, study: str, *, trial_id: int, kind: str, values: Mapping[str, Scalar]) -> None:
    """Insert a trial's values by name, skipping NaN, which cannot be ordered."""
    name_ids = _name_ids(connection, study, kind=kind, values=values)
    rows: list[dict[str, Any]] = []
    for name, value in values.items():
        name_id, textual = name_ids[name]
        if textual:
            rows.append({"trial_id": trial_id, "name_id": name_id, "number": None, "word": str(value)})
        elif not isinstance(value, str) and not math.isnan(value):
            rows.append({"trial_id": trial_id, "name_id": name_id, "number": float(value), "word": None})
    if rows:
        connection.execute(_INSERT_MEASURES, rows)


def rescore(connection: Connection, study: str, phase: str, *, cell: str, metric: str) -> None:
    """Set the scores of a cell's trials to the finite values of a metric; all other scores become NULL."""
    names, measures, trials = schema.names, schema.measures, schema.trials
    name_id = select(names.c.id).where(names.c.study == study, names.c.kind == "metric", names.c.name == metric)
    value = select(measures.c.number).where(
        measures.c.trial_id == trials.c.id,
        measures.c.name_id == name_id.scalar_subquery(),
        measures.c.number.between(-sys.float_info.max, sys.float_info.max),
    )
    at = (trials.c.study == study) & (trials.c.phase == phase) & (trials.c.cell == cell)
    connection.execute(update(trials).where(at).values(score=value.scalar_subquery()))


def _name_ids(
    connection: Connection, study: str, *, kind: str, values: Mapping[str, Scalar]
) -> dict[str, tuple[int, bool]]:
    """Return each name's id in a study and whether the name's values are text; insert names that are missing."""
    table = schema.names
    known = {
        name: (int(name_id), bool(textual))
        for name, name_id, textual in connection.execute(_SELECT_NAMES, {"of_study": study, "of_kind": kind})
    }
    for name, value in values.items():
        if name not in known:
            new = (
                insert(table)
                .values(study=study, kind=kind, name=name, textual=isinstance(value, str))
                .returning(table.c.id)
            )
            known[name] = (int(connection.execute(new).scalar_one()), isinstance(value, str))
    return known
