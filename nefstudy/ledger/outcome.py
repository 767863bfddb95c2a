"""How an attempt ended and everything it measured, written to and read from its rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, bindparam, insert, select, update

from nefstudy.ledger import events, measures, outbox
from nefstudy.ledger.fetch import Found
from nefstudy.ledger.rows import TrialState, finite
from nefstudy.ledger.schema import artifacts, cells, curves, documents, trials
from nefstudy.ledger.texts import dump, load
from nefstudy.outside_text import safe_error

COSTS = ("field_steps", "fit_seconds", "classify_seconds")  # what a reused result did not spend again

Number = int | float
Curve = Sequence[tuple[Number, Number]]

_CLOSE = update(trials).where(trials.c.id == bindparam("closed"))
_DESCRIBE = update(documents).where(documents.c.trial_id == bindparam("closed"))
_METRIC = select(cells.c.metric).where(
    cells.c.study == bindparam("of_study"), cells.c.phase == bindparam("of_phase"), cells.c.cell == bindparam("of_cell")
)
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
    """Close a trial's row with an outcome, append the event and put it into the outbox."""
    score = score_of(connection, row, metrics=outcome.metrics)
    _close(connection, row, outcome=outcome, score=score, now=now, reused=reused)
    measures.record(connection, row["study"], trial_id=row["id"], kind="metric", values=outcome.metrics)
    lines = [
        {"trial_id": row["id"], "name": name, "points": dump([[float(x), float(y)] for x, y in points])}
        for name, points in outcome.curves.items()
    ]
    files = [{"trial_id": row["id"], "name": name, "path": path} for name, path in outcome.artifacts.items()]
    for statement, values in ((_CURVES, lines), (_ARTIFACTS, files)):
        if values:
            connection.execute(statement, values)
    data = {"attempt": row["attempt"], "cell": row["cell"], "cause": outcome.cause, "score": score}
    given = {name: value for name, value in data.items() if value is not None}
    kind = "reused" if reused else outcome.state.lower()
    events.append(connection, row["study"], kind=kind, phase=row["phase"], key=row["key"], data=given, now=now)
    outbox.post(connection, row["id"])


def read(connection: Connection, trial_id: int) -> Outcome:
    """Return the outcome of a COMPLETE trial as another trial may reuse it: the same, with its costs at zero."""
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


def score_of(connection: Connection, row: Found, *, metrics: Mapping[str, Number]) -> float | None:
    """Return the value of the metric that is the objective of the trial's cell; None without a finite one."""
    cell = {"of_study": row["study"], "of_phase": row["phase"], "of_cell": row["cell"]}
    metric = connection.execute(_METRIC, cell).scalar()
    return None if metric is None else finite(metrics.get(metric))


def _close(
    connection: Connection, row: Found, *, outcome: Outcome, score: float | None, now: float, reused: bool
) -> None:
    values = {"score": score, "cause": outcome.cause, "reused": reused, "state": outcome.state}
    values |= {"ended_at": now, "started_at": row["started_at"] or row["requested_at"]}
    connection.execute(_CLOSE, {"closed": row["id"], **values})
    texts = {
        "metrics": dump({name: float(value) for name, value in outcome.metrics.items()}),
        "fingerprint": dump(dict(outcome.fingerprint)),
        "error": outcome.error and safe_error(outcome.error),
    }
    connection.execute(_DESCRIBE, {"closed": row["id"], **texts})
