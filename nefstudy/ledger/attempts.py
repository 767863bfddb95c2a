"""The life of a trial: requested, started, ended. Each step is one transaction that checks the attempt's token.

The token is the attempt's number. A step is taken only while its attempt is the trial's latest and still
open, so a worker that was given up cannot write over what came after it. `COMPLETE` never changes.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, insert, select, update

from nefstudy.config import TrialConfig
from nefstudy.errors import StaleAttempt
from nefstudy.ledger import feed, measures
from nefstudy.ledger.rows import OPEN, TrialState
from nefstudy.ledger.schema import artefacts, curves, documents, names, trials
from nefstudy.ledger.schema import measures as measures_table
from nefstudy.ledger.texts import dump, load

COSTS = ("field_steps", "fit_seconds", "classify_seconds")  # what a reused result did not spend again
SCORES = ("val_accuracy", "test_accuracy")
QUALITIES = ("all_psnr", "all_iou")

Curve = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Claim:
    """One attempt at one trial, as its driver names it."""

    study: str
    phase: str
    key: str
    token: int


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended, with everything it measured."""

    state: TrialState
    metrics: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, Curve] = field(default_factory=dict)
    artefacts: Mapping[str, str] = field(default_factory=dict)
    fingerprint: Mapping[str, str] = field(default_factory=dict)
    cause: str | None = None
    error: str | None = None


def request(connection: Connection, study: str, *, phase: str, trial: TrialConfig, now: float) -> int:
    """The token of a new attempt at a trial, which makes every earlier token stale.

    Raises:
        StaleAttempt: the trial is COMPLETE.
    """
    row = find(connection, study, phase=phase, key=trial.key)
    if row is not None and row["state"] == TrialState.COMPLETE:
        raise StaleAttempt(
            f"trial {trial.key} of {study}/{phase} is COMPLETE and never changes; read it from the ledger instead"
        )
    if row is None:
        attempt = 1
        _create(connection, study, phase=phase, trial=trial, now=now)
    else:
        attempt = row["attempt"] + 1
        _reopen(connection, row["id"], attempt=attempt, now=now)
    feed.append_event(
        connection, study, kind="requested", phase=phase, key=trial.key, data={"attempt": attempt}, now=now
    )
    return attempt


def start(connection: Connection, claim: Claim, *, now: float) -> None:
    """Mark an attempt as running.

    Raises:
        StaleAttempt: the attempt is not the trial's latest, or has ended.
    """
    row = _held(connection, claim)
    if row["state"] == TrialState.REQUESTED:
        connection.execute(
            update(trials).where(trials.c.id == row["id"]).values(state=TrialState.RUNNING, started_at=now)
        )
        _tell(connection, claim, kind="started", now=now)


def end(connection: Connection, claim: Claim, *, outcome: Outcome, now: float) -> bool:
    """Whether this call ended the attempt; False when the same attempt had ended in the same state already.

    Raises:
        StaleAttempt: the attempt is not the trial's latest, or has ended otherwise.
    """
    row = find(connection, claim.study, phase=claim.phase, key=claim.key)
    if row is not None and row["state"] == outcome.state and row["attempt"] == claim.token and not row["reused"]:
        return False
    row = _held(connection, claim)
    _close(connection, row, outcome=outcome, now=now)
    measures.record(connection, claim.study, trial_id=row["id"], kind="metric", values=outcome.metrics)
    _attach(connection, row["id"], outcome=outcome)
    _announce(connection, row, outcome=outcome, now=now)
    return True


def interrupt(connection: Connection, study: str, *, now: float) -> int:
    """How many open attempts were closed as INTERRUPTED because their driver is gone."""
    orphans = connection.execute(
        select(trials.c.id, trials.c.phase, trials.c.key, trials.c.attempt).where(
            trials.c.study == study, trials.c.state.in_(OPEN)
        )
    ).all()
    for orphan in orphans:
        connection.execute(
            update(trials).where(trials.c.id == orphan.id).values(state=TrialState.INTERRUPTED, ended_at=now)
        )
        claim = Claim(study, orphan.phase, orphan.key, orphan.attempt)
        _tell(connection, claim, kind="interrupted", now=now)
    return len(orphans)


def reuse(connection: Connection, study: str, *, phase: str, trial: TrialConfig, now: float) -> bool:
    """Whether the trial is COMPLETE now, by itself or by copying the same trial's result from elsewhere."""
    here = find(connection, study, phase=phase, key=trial.key)
    if here is not None and here["state"] == TrialState.COMPLETE:
        return True
    source = connection.execute(
        select(trials.c.id)
        .where(trials.c.key == trial.key, trials.c.state == TrialState.COMPLETE)
        .order_by(trials.c.reused, trials.c.id)
        .limit(1)
    ).scalar()
    if source is None:
        return False
    if here is None:
        _create(connection, study, phase=phase, trial=trial, now=now)
    else:
        _reopen(connection, here["id"], attempt=here["attempt"] + 1, now=now)
    row = find(connection, study, phase=phase, key=trial.key)
    assert row is not None
    outcome = _result(connection, source)
    _close(connection, row, outcome=outcome, now=now, reused=True)
    measures.record(connection, study, trial_id=row["id"], kind="metric", values=outcome.metrics)
    _attach(connection, row["id"], outcome=outcome)
    _announce(connection, row, outcome=outcome, now=now, reused=True)
    return True


def find(connection: Connection, study: str, *, phase: str, key: str) -> RowMapping | None:
    """The narrow row of a trial, None when it was never requested."""
    query = select(trials).where(trials.c.study == study, trials.c.phase == phase, trials.c.key == key)
    return connection.execute(query).mappings().one_or_none()


def _tell(connection: Connection, claim: Claim, *, kind: str, now: float) -> None:
    data = {"attempt": claim.token}
    feed.append_event(connection, claim.study, kind=kind, phase=claim.phase, key=claim.key, data=data, now=now)


def _held(connection: Connection, claim: Claim) -> RowMapping:
    row = find(connection, claim.study, phase=claim.phase, key=claim.key)
    where = f"trial {claim.key} of {claim.study}/{claim.phase}"
    if row is None:
        raise StaleAttempt(f"{where} was never requested; request it first")
    if row["attempt"] != claim.token or row["state"] not in OPEN:
        raise StaleAttempt(
            f"attempt {claim.token} of {where} is stale: the trial is {row['state']} "
            f"at attempt {row['attempt']}; drop its result"
        )
    return row


def _create(connection: Connection, study: str, *, phase: str, trial: TrialConfig, now: float) -> None:
    config = trial.model_dump(mode="json")
    hidden = trial.dataset.field.params.get("hidden")
    values = {
        "study": study,
        "phase": phase,
        "key": trial.key,
        "cell": trial.cell,
        "state": TrialState.REQUESTED,
        "attempt": 1,
        "start": trial.dataset.start,
        "field": trial.dataset.field.name,
        "signals": trial.dataset.signals.name,
        "hidden": hidden if isinstance(hidden, int) else None,
        "steps": trial.steps,
        "classifier": trial.classifier.name,
        "seed": trial.seed,
        "dataset": trial.dataset.digest,
        "reused": False,
        "requested_at": now,
    }
    trial_id = connection.execute(insert(trials).values(values).returning(trials.c.id)).scalar_one()
    connection.execute(insert(documents).values(trial_id=trial_id, config=dump(config), metrics="{}", fingerprint="{}"))
    measures.record_parameters(connection, study, trial_id=trial_id, config=config)


def _reopen(connection: Connection, trial_id: int, *, attempt: int, now: float) -> None:
    cleared = dict.fromkeys((*SCORES, "quality", "cause", "started_at", "ended_at"))
    connection.execute(
        update(trials)
        .where(trials.c.id == trial_id)
        .values(state=TrialState.REQUESTED, attempt=attempt, requested_at=now, **cleared)
    )
    connection.execute(
        update(documents).where(documents.c.trial_id == trial_id).values(metrics="{}", fingerprint="{}", error=None)
    )
    metric = select(names.c.id).where(names.c.id == measures_table.c.name_id, names.c.kind == "metric").exists()
    connection.execute(delete(measures_table).where(measures_table.c.trial_id == trial_id, metric))
    for table in (curves, artefacts):
        connection.execute(delete(table).where(table.c.trial_id == trial_id))


def _close(connection: Connection, row: RowMapping, *, outcome: Outcome, now: float, reused: bool = False) -> None:
    metrics = outcome.metrics
    values: dict[str, Any] = {name: _finite(metrics.get(name)) for name in SCORES}
    values["quality"] = next((_finite(metrics[name]) for name in QUALITIES if name in metrics), None)
    values |= {"state": outcome.state, "cause": outcome.cause, "ended_at": now, "reused": reused}
    if row["started_at"] is None:
        values["started_at"] = row["requested_at"]
    connection.execute(update(trials).where(trials.c.id == row["id"]).values(values))
    connection.execute(
        update(documents)
        .where(documents.c.trial_id == row["id"])
        .values(
            metrics=dump({name: float(value) for name, value in metrics.items()}),
            fingerprint=dump(dict(outcome.fingerprint)),
            error=outcome.error,
        )
    )


def _attach(connection: Connection, trial_id: int, *, outcome: Outcome) -> None:
    lines = [
        {"trial_id": trial_id, "name": name, "points": dump([[float(x), float(y)] for x, y in points])}
        for name, points in outcome.curves.items()
    ]
    files = [{"trial_id": trial_id, "name": name, "path": path} for name, path in outcome.artefacts.items()]
    if lines:
        connection.execute(insert(curves), lines)
    if files:
        connection.execute(insert(artefacts), files)


def _announce(connection: Connection, row: RowMapping, *, outcome: Outcome, now: float, reused: bool = False) -> None:
    data = {"attempt": row["attempt"], "cell": row["cell"], "cause": outcome.cause}
    data["val_accuracy"] = _finite(outcome.metrics.get("val_accuracy"))
    kind = "reused" if reused else outcome.state.lower()
    kept = {name: value for name, value in data.items() if value is not None}
    feed.append_event(connection, row["study"], kind=kind, phase=row["phase"], key=row["key"], data=kept, now=now)
    feed.post(connection, row["id"])


def _result(connection: Connection, trial_id: int) -> Outcome:
    texts = connection.execute(select(documents).where(documents.c.trial_id == trial_id)).one()
    points = connection.execute(select(curves.c.name, curves.c.points).where(curves.c.trial_id == trial_id))
    files = connection.execute(select(artefacts.c.name, artefacts.c.path).where(artefacts.c.trial_id == trial_id))
    metrics = load(texts.metrics)
    return Outcome(
        state=TrialState.COMPLETE,
        metrics=metrics | {name: 0.0 for name in COSTS if name in metrics},
        curves={row.name: load(row.points) for row in points},
        artefacts={row.name: row.path for row in files},
        fingerprint=load(texts.fingerprint),
    )


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
