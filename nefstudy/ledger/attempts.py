"""Transactions that request, start and end a trial; each one checks the attempt's token.

The token is the attempt's number. A transition requires that its attempt is the trial's latest and still open,
so an abandoned worker cannot overwrite a later attempt. A `COMPLETE` trial never changes.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from nefstudy.errors import StaleAttempt
from nefstudy.ledger import events, measures
from nefstudy.ledger import outcome as outcomes
from nefstudy.ledger.outcome import Outcome
from nefstudy.ledger.record import TrialRecord
from nefstudy.ledger.sql.fetch import RowDict, dump, fetch_one
from nefstudy.ledger.sql.rows import OPEN, TrialState
from nefstudy.ledger.sql.schema import artifacts, curves, documents, names, trials
from nefstudy.ledger.sql.schema import measures as measured

RETRIED = "retried"  # event kind: a failed attempt whose trial will be retried

_SELECT_TRIAL = select(trials).where(
    trials.c.study == bindparam("of_study"),
    trials.c.phase == bindparam("of_phase"),
    trials.c.key == bindparam("of_key"),
)
_INSERT_TRIAL = insert(trials).returning(trials.c.id)
_INSERT_DOCUMENT = insert(documents)
_UPDATE_TRIAL = update(trials).where(trials.c.id == bindparam("of_trial"))
_SELECT_REUSABLE = (
    select(trials.c.id)
    .where(trials.c.key == bindparam("of_key"), trials.c.state == TrialState.COMPLETE)
    .order_by(trials.c.reused, trials.c.id)
    .limit(1)
)


@dataclass(frozen=True)
class Claim:
    """One attempt at one trial: the trial's identity and the attempt's token."""

    study: str
    phase: str
    key: str
    token: int


def request(connection: Connection, study: str, *, phase: str, record: TrialRecord, now: float) -> int:
    """Open a new attempt at a trial and return its token.

    Every earlier token becomes stale.

    Raises:
        StaleAttempt: the trial is COMPLETE.
    """
    row = find(connection, study, phase=phase, key=record.key)
    if row is not None and row["state"] == TrialState.COMPLETE:
        raise StaleAttempt(f"trial {record.key} of {study}/{phase} is COMPLETE and never changes; read its result")
    claim = Claim(study, phase, record.key, 1 if row is None else row["attempt"] + 1)
    _open(connection, row, claim=claim, record=record, now=now)
    _append_event(connection, claim, kind="requested", now=now)
    return claim.token


def start(connection: Connection, claim: Claim, *, now: float) -> None:
    """Mark an attempt as running.

    Raises:
        StaleAttempt: the attempt is not the trial's latest, or has ended.
    """
    row = require_current(connection, claim)
    if row["state"] == TrialState.REQUESTED:
        connection.execute(_UPDATE_TRIAL, {"of_trial": row["id"], "state": TrialState.RUNNING, "started_at": now})
        _append_event(connection, claim, kind="started", now=now)


def end(connection: Connection, claim: Claim, *, outcome: Outcome, now: float) -> bool:
    """Record the outcome of an attempt.

    Return False if the attempt had already ended in the same state, True otherwise.

    Raises:
        StaleAttempt: the attempt is not the trial's latest, or has ended in another state.
    """
    row = find(connection, claim.study, phase=claim.phase, key=claim.key)
    if row is not None and row["state"] == outcome.state and row["attempt"] == claim.token and not row["reused"]:
        return False
    outcomes.write(connection, _require_current(row, claim), outcome=outcome, now=now)
    return True


def retry(connection: Connection, claim: Claim, *, cause: str, error: str, now: float) -> None:
    """Close a failed attempt as INTERRUPTED so that its trial is retried by this driver or the next driver.

    An attempt that is already INTERRUPTED is left unchanged.

    Raises:
        StaleAttempt: the attempt is not the trial's latest, or has ended in another state.
    """
    row = find(connection, claim.study, phase=claim.phase, key=claim.key)
    if row is not None and row["state"] == TrialState.INTERRUPTED and row["attempt"] == claim.token:
        return
    row = _require_current(row, claim)
    connection.execute(_UPDATE_TRIAL, {"of_trial": row["id"], "state": TrialState.INTERRUPTED, "ended_at": now})
    data = {"attempt": claim.token, "cell": row["cell"], "cause": cause, "error": error}
    events.append(connection, claim.study, kind=RETRIED, phase=claim.phase, key=claim.key, data=data, now=now)


def interrupt(connection: Connection, study: str, *, now: float) -> int:
    """Close a dead driver's open attempts as INTERRUPTED and return how many there were."""
    query = select(trials.c.id, trials.c.phase, trials.c.key, trials.c.attempt)
    orphans = connection.execute(query.where(trials.c.study == study, trials.c.state.in_(OPEN))).all()
    for orphan in orphans:
        connection.execute(_UPDATE_TRIAL, {"of_trial": orphan.id, "state": TrialState.INTERRUPTED, "ended_at": now})
        _append_event(connection, Claim(study, orphan.phase, orphan.key, orphan.attempt), kind="interrupted", now=now)
    return len(orphans)


def reuse(connection: Connection, study: str, *, phase: str, record: TrialRecord, now: float) -> bool:
    """Complete a trial with the result of the same trial in another study or phase, if such a result exists.

    Return whether the trial is now COMPLETE.
    """
    row = find(connection, study, phase=phase, key=record.key)
    if row is not None and row["state"] == TrialState.COMPLETE:
        return True
    source = connection.execute(_SELECT_REUSABLE, {"of_key": record.key}).scalar()
    if source is None:
        return False
    claim = Claim(study, phase, record.key, 1 if row is None else row["attempt"] + 1)
    _open(connection, row, claim=claim, record=record, now=now)
    copied = outcomes.read(connection, source)
    outcomes.write(connection, require_current(connection, claim), outcome=copied, now=now, reused=True)
    return True


def claim(connection: Connection, study: str, *, phase: str, record: TrialRecord, now: float) -> int | None:
    """Open a new attempt and return its token, or reuse an existing result and return None."""
    if reuse(connection, study, phase=phase, record=record, now=now):
        return None
    return request(connection, study, phase=phase, record=record, now=now)


def find(connection: Connection, study: str, *, phase: str, key: str) -> RowDict | None:
    """Return a trial's row without its large JSON texts, or None if the trial was never requested."""
    return fetch_one(connection, _SELECT_TRIAL, {"of_study": study, "of_phase": phase, "of_key": key})


def require_current(connection: Connection, claim: Claim) -> RowDict:
    """Return the row of the attempt's trial after checking that the attempt is current.

    Raises:
        StaleAttempt: the attempt is not the trial's latest, or has ended.
    """
    return _require_current(find(connection, claim.study, phase=claim.phase, key=claim.key), claim)


def _require_current(row: RowDict | None, claim: Claim) -> RowDict:
    where = f"trial {claim.key} of {claim.study}/{claim.phase}"
    if row is None:
        raise StaleAttempt(f"{where} was never requested; request it first")
    if row["attempt"] != claim.token or row["state"] not in OPEN:
        now = f"the trial is {row['state']} at attempt {row['attempt']}"
        raise StaleAttempt(f"attempt {claim.token} of {where} is stale: {now}; drop its result")
    return row


def _append_event(connection: Connection, claim: Claim, *, kind: str, now: float) -> None:
    data = {"attempt": claim.token}
    events.append(connection, claim.study, kind=kind, phase=claim.phase, key=claim.key, data=data, now=now)


def _open(connection: Connection, row: RowDict | None, *, claim: Claim, record: TrialRecord, now: float) -> None:
    if row is None:
        _create(connection, claim, record=record, now=now)
    else:
        _reopen(connection, row["id"], attempt=claim.token, now=now)


def _create(connection: Connection, claim: Claim, *, record: TrialRecord, now: float) -> None:
    values = {
        "study": claim.study,
        "phase": claim.phase,
        "key": record.key,
        "cell": record.cell,
        "task": record.task,
        "state": TrialState.REQUESTED,
        "attempt": claim.token,
        "seed": record.seed,
        "dataset": record.dataset,
        "reused": False,
        "requested_at": now,
    }
    trial_id = connection.execute(_INSERT_TRIAL, values).scalar_one()
    texts = {"config": record.config, "parameters": dump(dict(record.parameters)), "needs": dump(list(record.needs))}
    connection.execute(_INSERT_DOCUMENT, {"trial_id": trial_id, "metrics": "{}", "fingerprint": "{}", **texts})
    measures.record(connection, claim.study, trial_id=trial_id, kind="parameter", values=record.parameters)


def _reopen(connection: Connection, trial_id: int, *, attempt: int, now: float) -> None:
    cleared = dict.fromkeys(("score", "cause", "started_at", "ended_at"))
    opened = {"state": TrialState.REQUESTED, "attempt": attempt, "requested_at": now}
    connection.execute(_UPDATE_TRIAL, {"of_trial": trial_id, **opened, **cleared})
    texts = {"metrics": "{}", "fingerprint": "{}", "error": None}
    connection.execute(update(documents).where(documents.c.trial_id == trial_id).values(texts))
    metric = select(names.c.id).where(names.c.id == measured.c.name_id, names.c.kind == "metric").exists()
    connection.execute(delete(measured).where(measured.c.trial_id == trial_id, metric))
    for table in (curves, artifacts):
        connection.execute(delete(table).where(table.c.trial_id == trial_id))
