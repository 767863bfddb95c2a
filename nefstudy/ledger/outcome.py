"""The outcome of an attempt: its final state and measurements, written to and read from the tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, bindparam, insert, select, update

from nefstudy.ledger import events, measures, outbox
from nefstudy.ledger.sql.fetch import RowDict, dump, load
from nefstudy.ledger.sql.rows import TrialState, finite
from nefstudy.ledger.sql.schema import artifacts, cells, curves, documents, trials
from nefstudy.outside_text import safe_error

COSTS = ("field_steps", "fit_seconds", "classify_seconds")  # metrics set to zero in a reused result

Number = int | float
Curve = Sequence[tuple[Number, Number]]

_UPDATE_TRIAL = update(trials).where(trials.c.id == bindparam("closed"))
_UPDATE_DOCUMENT = update(documents).where(documents.c.trial_id == bindparam("closed"))
_SELECT_METRIC = select(cells.c.metric).where(
    cells.c.study == bindparam("of_study"), cells.c.phase == bindparam("of_phase"), cells.c.cell == bindparam("of_cell")
)
_INSERT_CURVES, _INSERT_ARTIFACTS = insert(curves), insert(artifacts)


@dataclass(frozen=True)
class Outcome:
    """The final state of an attempt with everything that the attempt measured."""

    state: TrialState
    metrics: Mapping[str, Number] = field(default_factory=dict)
    curves: Mapping[str, Curve] = field(default_factory=dict)
    artifacts: Mapping[str, str] = field(default_factory=dict)
    fingerprint: Mapping[str, str] = field(default_factory=dict)
    cause: str | None = None
    error: str | None = None


def write(connection: Connection, row: RowDict, *, outcome: Outcome, now: float, reused: bool = False) -> None:
    """Write an outcome to a trial's rows, append an event and queue the trial for export."""
    score = score_of(connection, row, metrics=outcome.metrics)
    _close(connection, row, outcome=outcome, score=score, now=now, reused=reused)
    measures.record(connection, row["study"], trial_id=row["id"], kind="metric", values=outcome.metrics)
    curve_rows = [
        {"trial_id": row["id"], "name": name, "points": dump([[float(x), float(y)] for x, y in points])}
        for name, points in outcome.curves.items()
    ]
    artifact_rows = [{"trial_id": row["id"], "name": name, "path": path} for name, path in outcome.artifacts.items()]
    for statement, values in ((_INSERT_CURVES, curve_rows), (_INSERT_ARTIFACTS, artifact_rows)):
        if values:
            connection.execute(statement, values)
    data = {"attempt": row["attempt"], "cell": row["cell"], "cause": outcome.cause, "score": score}
    data = {name: value for name, value in data.items() if value is not None}
    kind = "reused" if reused else outcome.state.lower()
    events.append(connection, row["study"], kind=kind, phase=row["phase"], key=row["key"], data=data, now=now)
    outbox.post(connection, row["id"])


def read(connection: Connection, trial_id: int) -> Outcome:
    """Return a copy of a COMPLETE trial's outcome with all costs set to zero, for reuse."""
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


def score_of(connection: Connection, row: RowDict, *, metrics: Mapping[str, Number]) -> float | None:
    """Return a trial's value for its cell's objective, or None if that value is not finite."""
    cell = {"of_study": row["study"], "of_phase": row["phase"], "of_cell": row["cell"]}
    metric = connection.execute(_SELECT_METRIC, cell).scalar()
    return None if metric is None else finite(metrics.get(metric))


def _close(
    connection: Connection, row: RowDict, *, outcome: Outcome, score: float | None, now: float, reused: bool
) -> None:
    values = {"score": score, "cause": outcome.cause, "reused": reused, "state": outcome.state}
    values |= {"ended_at": now, "started_at": row["started_at"] or row["requested_at"]}
    connection.execute(_UPDATE_TRIAL, {"closed": row["id"], **values})
    texts = {
        "metrics": dump({name: float(value) for name, value in outcome.metrics.items()}),
        "fingerprint": dump(dict(outcome.fingerprint)),
        "error": outcome.error and safe_error(outcome.error),
    }
    connection.execute(_UPDATE_DOCUMENT, {"closed": row["id"], **texts})
