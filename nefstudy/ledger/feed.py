"""What others follow: numbered events, the outbox of results to export, and the driver's commands."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, delete, func, insert, select, update

from nefstudy.ledger.rows import CommandRow, EventRow, OutboxRow
from nefstudy.ledger.schema import commands, events, outbox, trials
from nefstudy.ledger.texts import dump, load

# statements of every commit are built once: building them costs more than running them
_APPEND = insert(events).returning(events.c.seq)
_UNPOST = delete(outbox).where(outbox.c.trial_id == bindparam("posted"))
_POST = insert(outbox)


def append_event(
    connection: Connection,
    study: str,
    *,
    kind: str,
    phase: str | None = None,
    key: str | None = None,
    data: Mapping[str, Any] | None = None,
    now: float,
) -> int:
    """The number of a new event, higher than every event committed before it."""
    values = {"study": study, "kind": kind, "phase": phase, "key": key, "data": dump(dict(data or {})), "at": now}
    return int(connection.execute(_APPEND, values).scalar_one())


def since(connection: Connection, seq: int, *, study: str | None, limit: int) -> list[EventRow]:
    """The events after number `seq`, oldest first."""
    query = select(events).where(events.c.seq > seq).order_by(events.c.seq).limit(limit)
    if study is not None:
        query = query.where(events.c.study == study)
    return [EventRow(**(dict(row) | {"data": load(row["data"])})) for row in connection.execute(query).mappings()]


def last_seq(connection: Connection, *, study: str | None) -> int:
    """The number of the latest event, 0 before the first."""
    query = select(func.max(events.c.seq))
    if study is not None:
        query = query.where(events.c.study == study)
    return int(connection.execute(query).scalar() or 0)


def post(connection: Connection, trial_id: int) -> None:
    """Put a trial into the outbox, at its end and untried, once."""
    connection.execute(_UNPOST, {"posted": trial_id})
    connection.execute(_POST, {"trial_id": trial_id, "tries": 0})


def post_all(connection: Connection, *, study: str | None, states: Sequence[str]) -> int:
    """How many trials were put into the outbox again, to be exported anew."""
    query = select(trials.c.id).where(trials.c.state.in_(states)).order_by(trials.c.id)
    if study is not None:
        query = query.where(trials.c.study == study)
    found = [row.id for row in connection.execute(query)]
    for trial_id in found:
        post(connection, trial_id)
    return len(found)


def pending(connection: Connection, *, limit: int) -> list[OutboxRow]:
    """The oldest entries of the outbox; those that failed most often come last."""
    query = (
        select(outbox.c.id, trials.c.study, trials.c.phase, trials.c.key, trials.c.attempt, outbox.c.tries)
        .join(trials, trials.c.id == outbox.c.trial_id)
        .order_by(outbox.c.tries, outbox.c.id)
        .limit(limit)
    )
    return [OutboxRow(**row) for row in connection.execute(query).mappings()]


def outbox_size(connection: Connection) -> int:
    """How many results are not exported yet."""
    return int(connection.execute(select(func.count()).select_from(outbox)).scalar_one())


def mark(connection: Connection, ids: Sequence[int]) -> None:
    """Take exported entries out of the outbox."""
    for entry in ids:
        connection.execute(delete(outbox).where(outbox.c.id == entry))


def mark_failed(connection: Connection, entry: int, *, error: str) -> None:
    """Count an export that failed, and why."""
    connection.execute(update(outbox).where(outbox.c.id == entry).values(tries=outbox.c.tries + 1, error=error))


def append_command(
    connection: Connection, study: str, *, verb: str, body: Mapping[str, Any], idempotency_key: str, now: float
) -> CommandRow:
    """The command now in the ledger; the earlier one when its idempotency key was used before."""
    query = select(commands).where(commands.c.study == study, commands.c.idempotency_key == idempotency_key)
    found = connection.execute(query).mappings().one_or_none()
    if found is None:
        values = {
            "study": study,
            "verb": verb,
            "body": dump(dict(body)),
            "idempotency_key": idempotency_key,
            "created_at": now,
        }
        connection.execute(insert(commands).values(values))
        append_event(connection, study, kind="command", data={"verb": verb}, now=now)
        found = connection.execute(query).mappings().one()
    return _command(found)


def unsettled(connection: Connection, study: str) -> list[CommandRow]:
    """The commands that the driver has not settled, in the order they were given."""
    query = select(commands).where(commands.c.study == study, commands.c.settled_at.is_(None)).order_by(commands.c.id)
    return [_command(row) for row in connection.execute(query).mappings()]


def all_commands(connection: Connection, study: str, *, limit: int) -> list[CommandRow]:
    """The latest commands of a study, newest first."""
    query = select(commands).where(commands.c.study == study).order_by(commands.c.id.desc()).limit(limit)
    return [_command(row) for row in connection.execute(query).mappings()]


def settle(connection: Connection, command: int, *, outcome: str, now: float) -> None:
    """Record how a command ended, unless that is known already."""
    open_one = (commands.c.id == command) & commands.c.settled_at.is_(None)
    connection.execute(update(commands).where(open_one).values(settled_at=now, outcome=outcome))


def _command(row: RowMapping) -> CommandRow:
    return CommandRow(
        id=row["id"],
        study=row["study"],
        verb=row["verb"],
        body=load(row["body"]),
        created_at=row["created_at"],
        settled_at=row["settled_at"],
        outcome=row["outcome"],
    )
