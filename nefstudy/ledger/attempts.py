"""The life of a trial: requested, started, ended. Each step is one transaction that checks the attempt's token.

The token is the attempt's number. A step is taken only while its attempt is the trial's latest and still
open, so a worker that was given up cannot write over what came after it. `COMPLETE` never changes.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from nefstudy.errors import StaleAttempt
from nefstudy.ledger import events, measures
from nefstudy.ledger import outcome as outcomes
from nefstudy.ledger.fetch import Found, fetch_one
from nefstudy.ledger.outcome import Outcome
from nefstudy.ledger.record import TrialRecord
from nefstudy.ledger.rows import OPEN, TrialState
from nefstudy.ledger.schema import artifacts, curves, documents, names, trials
from nefstudy.ledger.schema import measures as measured
from nefstudy.ledger.texts import dump

RETRIED = "retried"  # the kind of event of an attempt that is tried again

_FIND = select(trials).where(
    trials.c.study == bindparam("of_study"),
    trials.c.phase == bindparam("of_phase"),
    trials.c.key == bindparam("of_key"),
)
_CREATE = insert(trials).returning(trials.c.id)
_DESCRIBE = insert(documents)
_SET = update(trials).where(trials.c.id == bindparam("of_trial"))
_FOUND = (
    select(trials.c.id)
    .where(trials.c.key == bindparam("of_key"), trials.c.state == TrialState.COMPLETE)
    .order_by(trials.c.reused, trials.c.id)
    .limit(1)
)


@dataclass(frozen=True)
class Claim:
    """One attempt at one trial, as its driver names it."""

    study: str
    phase: str
    key: str
    token: int


def request(connection: Connection, study: str, *, phase: str, record: TrialRecord, now: float) -> int:
    """The token of a new attempt at a trial, which makes every earlier token stale.

    Raises:
        StaleAttempt: the trial is COMPLETE.
    """
    row = find(connection, study, phase=phase, key=record.key)
    if row is not None and row["state"] == TrialState.COMPLETE:
        raise StaleAttempt(f"trial {record.key} of {study}/{phase} is COMPLETE and never changes; read its result")
    claim = Claim(study, phase, record.key, 1 if row is None else row["attempt"] + 1)
    _open(connection, row, claim=claim, record=record, now=now)
    _tell(connection, claim, kind="requested", now=now)
    return claim.token


def start(connection: Connection, claim: Claim, *, now: float) -> None:
    """Mark an attempt as running.

    Raises:
        StaleAttempt: the attempt is not the trial's latest, or has ended.
    """
    row = held(connection, claim)
    if row["state"] == TrialState.REQUESTED:
        connection.execute(_SET, {"of_trial": row["id"], "state": TrialState.RUNNING, "started_at": now})
        _tell(connection, claim, kind="started", now=now)


def end(connection: Connection, claim: Claim, *, outcome: Outcome, now: float) -> bool:
    """Whether this call ended the attempt; False when the same attempt had ended in the same state already.

    Raises:
        StaleAttempt: the attempt is not the trial's latest, or has ended otherwise.
    """
    row = find(connection, claim.study, phase=claim.phase, key=claim.key)
    if row is not None and row["state"] == outcome.state and row["attempt"] == claim.token and not row["reused"]:
        return False
    outcomes.write(connection, _held(row, claim), outcome=outcome, now=now)
    return True


def retry(connection: Connection, claim: Claim, *, cause: str, error: str, now: float) -> None:
    """Close a failed attempt as INTERRUPTED, so that its trial is retried, by this driver or the next.

    An attempt that is INTERRUPTED already stays so.

    Raises:
        StaleAttempt: the attempt is not the trial's latest, or has ended otherwise.
    """
    row = find(connection, claim.study, phase=claim.phase, key=claim.key)
    if row is not None and row["state"] == TrialState.INTERRUPTED and row["attempt"] == claim.token:
        return
    row = _held(row, claim)
    connection.execute(_SET, {"of_trial": row["id"], "state": TrialState.INTERRUPTED, "ended_at": now})
    data = {"attempt": claim.token, "cell": row["cell"], "cause": cause, "error": error}
    events.append(connection, claim.study, kind=RETRIED, phase=claim.phase, key=claim.key, data=data, now=now)


def interrupt(connection: Connection, study: str, *, now: float) -> int:
    """How many open attempts were closed as INTERRUPTED because their driver is gone."""
    query = select(trials.c.id, trials.c.phase, trials.c.key, trials.c.attempt)
    orphans = connection.execute(query.where(trials.c.study == study, trials.c.state.in_(OPEN))).all()
    for orphan in orphans:
        connection.execute(_SET, {"of_trial": orphan.id, "state": TrialState.INTERRUPTED, "ended_at": now})
        _tell(connection, Claim(study, orphan.phase, orphan.key, orphan.attempt), kind="interrupted", now=now)
    return len(orphans)


def reuse(connection: Connection, study: str, *, phase: str, record: TrialRecord, now: float) -> bool:
    """Whether the trial is COMPLETE now, by itself or by copying the same trial's result from elsewhere."""
    row = find(connection, study, phase=phase, key=record.key)
    if row is not None and row["state"] == TrialState.COMPLETE:
        return True
    source = connection.execute(_FOUND, {"of_key": record.key}).scalar()
    if source is None:
        return False
    claim = Claim(study, phase, record.key, 1 if row is None else row["attempt"] + 1)
    _open(connection, row, claim=claim, record=record, now=now)
    copied = outcomes.read(connection, source)
    outcomes.write(connection, held(connection, claim), outcome=copied, now=now, reused=True)
    return True


def claim(connection: Connection, study: str, *, phase: str, record: TrialRecord, now: float) -> int | None:
    """The token of a new attempt at a trial; None when it is COMPLETE now, by itself or by reuse."""
    if reuse(connection, study, phase=phase, record=record, now=now):
        return None
    return request(connection, study, phase=phase, record=record, now=now)


def find(connection: Connection, study: str, *, phase: str, key: str) -> Found | None:
    """The narrow row of a trial, None when it was never requested."""
    return fetch_one(connection, _FIND, {"of_study": study, "of_phase": phase, "of_key": key})


def held(connection: Connection, claim: Claim) -> Found:
    """The row of an attempt that is its trial's latest and still open.

    Raises:
        StaleAttempt: it is not.
    """
    return _held(find(connection, claim.study, phase=claim.phase, key=claim.key), claim)


def _held(row: Found | None, claim: Claim) -> Found:
    where = f"trial {claim.key} of {claim.study}/{claim.phase}"
    if row is None:
        raise StaleAttempt(f"{where} was never requested; request it first")
    if row["attempt"] != claim.token or row["state"] not in OPEN:
        now = f"the trial is {row['state']} at attempt {row['attempt']}"
        raise StaleAttempt(f"attempt {claim.token} of {where} is stale: {now}; drop its result")
    return row


def _tell(connection: Connection, claim: Claim, *, kind: str, now: float) -> None:
    data = {"attempt": claim.token}
    events.append(connection, claim.study, kind=kind, phase=claim.phase, key=claim.key, data=data, now=now)


def _open(connection: Connection, row: Found | None, *, claim: Claim, record: TrialRecord, now: float) -> None:
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
    trial_id = connection.execute(_CREATE, values).scalar_one()
    texts = {"config": record.config, "parameters": dump(dict(record.parameters)), "needs": dump(list(record.needs))}
    connection.execute(_DESCRIBE, {"trial_id": trial_id, "metrics": "{}", "fingerprint": "{}", **texts})
    measures.record(connection, claim.study, trial_id=trial_id, kind="parameter", values=record.parameters)


def _reopen(connection: Connection, trial_id: int, *, attempt: int, now: float) -> None:
    cleared = dict.fromkeys(("score", "cause", "started_at", "ended_at"))
    opened = {"state": TrialState.REQUESTED, "attempt": attempt, "requested_at": now}
    connection.execute(_SET, {"of_trial": trial_id, **opened, **cleared})
    texts = {"metrics": "{}", "fingerprint": "{}", "error": None}
    connection.execute(update(documents).where(documents.c.trial_id == trial_id).values(texts))
    metric = select(names.c.id).where(names.c.id == measured.c.name_id, names.c.kind == "metric").exists()
    connection.execute(delete(measured).where(measured.c.trial_id == trial_id, metric))
    for table in (curves, artifacts):
        connection.execute(delete(table).where(table.c.trial_id == trial_id))
