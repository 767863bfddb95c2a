"""Every metric and parameter of every trial as indexed (trial, name, value) rows."""

import math
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select

from nefstudy.config import Scalar
from nefstudy.ledger import schema
from nefstudy.ledger.parameters import parameters

_RECORD = insert(schema.measures)
_KNOWN = select(schema.names.c.name, schema.names.c.id, schema.names.c.textual).where(
    schema.names.c.study == bindparam("of_study"), schema.names.c.kind == bindparam("of_kind")
)


def record_parameters(connection: Connection, study: str, *, trial_id: int, config: Mapping[str, Any]) -> None:
    """Store every parameter of a trial's configuration under its flat name."""
    record(connection, study, trial_id=trial_id, kind="parameter", values=parameters(config))


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
