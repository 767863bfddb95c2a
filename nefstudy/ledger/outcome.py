"""How an attempt ended and everything it measured, written to and read from its rows."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from nefstudy.ledger import events, measures, outbox
from nefstudy.ledger.fetch import Found
from nefstudy.ledger.rows import TrialState
from nefstudy.ledger.schema import artifacts, curves, documents, trials
from nefstudy.ledger.texts import dump, load
from nefstudy.outside_text import safe_error

COSTS = ("field_steps", "fit_seconds", "classify_seconds")  # what a reused result did not spend again
SCORES = ("val_accuracy", "test_accuracy")
QUALITIES = ("all_psnr", "all_iou")

Number = int | float
Curve = Sequence[tuple[Number, Number]]

_CLOSE = update(trials).where(trials.c.id == bindparam("closed"))
_DESCRIBE = update(documents).where(documents.c.trial_id == bindparam("closed"))
_CURVES, _ARTIFACTS = insert(curves), insert(artifacts)


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended, with everything it measured."""

    state: TrialState
    metrics: Mapping[str, Number] = field(default_factory=dict)
    curves: Mapping[str, Curve] = field(default_factory=dict)
    artifacts: Mapping[str, str] = field(default_factory=dict)
    fingerprint: Mapping[str, str] = field(default_factory=dict)
    cause: str | None = None
    error: str | None = None


def write(connection: Connection, row: Found, *, outcome: Outcome, now: float, reused: bool = False) -> None:
    """Close a trial's row with an outcome, tell it as an event and put it into the outbox."""
    _close(connection, row, outcome=outcome, now=now, reused=reused)
    measures.record(connection, row["study"], trial_id=row["id"], kind="metric", values=outcome.metrics)
    lines = [
        {"trial_id": row["id"], "name": name, "points": dump([[float(x), float(y)] for x, y in points])}
        for name, points in outcome.curves.items()
    ]
    files = [{"trial_id": row["id"], "name": name, "path": path} for name, path in outcome.artifacts.items()]
    for statement, values in ((_CURVES, lines), (_ARTIFACTS, files)):
        if values:
            connection.execute(statement, values)
    data = {"attempt": row["attempt"], "cell": row["cell"], "cause": outcome.cause}
    data["val_accuracy"] = _finite(outcome.metrics.get("val_accuracy"))
    told = {name: value for name, value in data.items() if value is not None}
    kind = "reused" if reused else outcome.state.lower()
    events.append(connection, row["study"], kind=kind, phase=row["phase"], key=row["key"], data=told, now=now)
    outbox.post(connection, row["id"])


def read(connection: Connection, trial_id: int) -> Outcome:
    """The outcome of a COMPLETE trial as another trial may take it over: the same, with its costs at zero."""
    texts = connection.execute(select(documents).where(documents.c.trial_id == trial_id)).one()
    points = connection.execute(select(curves.c.name, curves.c.points).where(curves.c.trial_id == trial_id))
    files = connection.execute(select(artifacts.c.name, artifacts.c.path).where(artifacts.c.trial_id == trial_id))
    metrics = load(texts.metrics)
    return Outcome(
        state=TrialState.COMPLETE,
        metrics=metrics | {name: 0.0 for name in COSTS if name in metrics},
        curves={row.name: [(x, y) for x, y in load(row.points)] for row in points},
        artifacts={row.name: row.path for row in files},
        fingerprint=load(texts.fingerprint),
    )


def _close(connection: Connection, row: Found, *, outcome: Outcome, now: float, reused: bool) -> None:
    metrics = {name: float(value) for name, value in outcome.metrics.items()}
    quality = next((metrics[name] for name in QUALITIES if name in metrics), None)
    values: dict[str, Any] = {name: _finite(metrics.get(name)) for name in SCORES}
    values |= {"quality": _finite(quality), "cause": outcome.cause, "reused": reused, "state": outcome.state}
    values |= {"ended_at": now, "started_at": row["started_at"] or row["requested_at"]}
    connection.execute(_CLOSE, {"closed": row["id"], **values})
    texts = {
        "metrics": dump(metrics),
        "fingerprint": dump(dict(outcome.fingerprint)),
        "error": outcome.error and safe_error(outcome.error),
    }
    connection.execute(_DESCRIBE, {"closed": row["id"], **texts})


def _finite(value: Number | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
