"""Setbacks that end neither a trial nor a study: attempts put back to be tried again, cells that are left alone."""

from sqlalchemy import Connection, bindparam, select, update

from nefstudy.ledger import events
from nefstudy.ledger.attempts import Claim, find, held
from nefstudy.ledger.fetch import fetch
from nefstudy.ledger.rows import TrialState
from nefstudy.ledger.schema import events as told
from nefstudy.ledger.schema import phases, trials
from nefstudy.ledger.texts import load
from nefstudy.outside_text import safe_error

RETRIED = "retried"  # the kind of event that tells of an attempt that was put back

_SET = update(trials).where(trials.c.id == bindparam("of_trial"))


def put_back(connection: Connection, claim: Claim, *, cause: str, error: str, now: float) -> None:
    """Close an attempt that failed, as INTERRUPTED: its trial is retried, by this driver or the next.

    An attempt that is INTERRUPTED already stays so.

    Raises:
        StaleAttempt: the attempt is not the trial's latest, or has ended otherwise.
    """
    found = find(connection, claim.study, phase=claim.phase, key=claim.key)
    if found is not None and found["state"] == TrialState.INTERRUPTED and found["attempt"] == claim.token:
        return
    row = held(connection, claim)
    connection.execute(_SET, {"of_trial": row["id"], "state": TrialState.INTERRUPTED, "ended_at": now})
    data = {"attempt": claim.token, "cell": row["cell"], "cause": cause, "error": error}
    events.append(connection, claim.study, kind=RETRIED, phase=claim.phase, key=claim.key, data=data, now=now)


def retries(connection: Connection, study: str) -> dict[tuple[str, str, str], int]:
    """How many attempts of each (phase, cell, cause) were put back to be tried again."""
    found: dict[tuple[str, str, str], int] = {}
    for row in fetch(
        connection, select(told.c.phase, told.c.data).where(told.c.study == study, told.c.kind == RETRIED)
    ):
        data = load(row["data"])
        place = (row["phase"], data["cell"], data["cause"])
        found[place] = found.get(place, 0) + 1
    return found


def stop_cell(connection: Connection, study: str, *, phase: str, cell: str, reason: str | None, now: float) -> None:
    """Mark a cell as left alone, with the reason; None takes the mark away."""
    place = (phases.c.study == study) & (phases.c.phase == phase) & (phases.c.cell == cell)
    reason = reason and safe_error(reason)
    connection.execute(update(phases).where(place).values(stopped=reason))
    data = {"phase": phase, "cell": cell, "stopped": reason}
    events.append(connection, study, kind="cell", phase=phase, data=data, now=now)


def stopped_cells(connection: Connection, study: str) -> dict[tuple[str, str], str]:
    """Why each (phase, cell) that is left alone is."""
    query = select(phases.c.phase, phases.c.cell, phases.c.stopped)
    rows = connection.execute(query.where(phases.c.study == study, phases.c.stopped.is_not(None)))
    return {(row.phase, row.cell): row.stopped for row in rows}
