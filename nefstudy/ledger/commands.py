"""Commands: what people ask of a study's driver, and how each ended."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, insert, select, update

from nefstudy.ledger import events
from nefstudy.ledger.fetch import Found, fetch, fetch_one
from nefstudy.ledger.rows import CommandRow
from nefstudy.ledger.schema import commands
from nefstudy.ledger.texts import dump, load
from nefstudy.outside_text import safe_error


def append(
    connection: Connection, study: str, *, verb: str, body: Mapping[str, Any], idempotency_key: str, now: float
) -> CommandRow:
    """The command now in the ledger; the earlier one when its idempotency key was used before."""
    query = select(commands).where(commands.c.study == study, commands.c.idempotency_key == idempotency_key)
    found = fetch_one(connection, query)
    if found is None:
        values = {
            "study": study,
            "verb": verb,
            "body": dump(dict(body)),
            "idempotency_key": idempotency_key,
            "created_at": now,
        }
        connection.execute(insert(commands).values(values))
        events.append(connection, study, kind="command", data={"verb": verb}, now=now)
        (found,) = fetch(connection, query)
    return _command(found)


def unsettled(connection: Connection, study: str) -> list[CommandRow]:
    """The commands that the driver has not settled, in the order they were given."""
    query = select(commands).where(commands.c.study == study, commands.c.settled_at.is_(None)).order_by(commands.c.id)
    return [_command(row) for row in fetch(connection, query)]


def latest(connection: Connection, study: str, *, limit: int) -> list[CommandRow]:
    """The latest commands of a study, newest first."""
    query = select(commands).where(commands.c.study == study).order_by(commands.c.id.desc()).limit(limit)
    return [_command(row) for row in fetch(connection, query)]


def settle(connection: Connection, command: int, *, outcome: str, now: float) -> None:
    """Record how a command ended, unless that is known already."""
    still_open = (commands.c.id == command) & commands.c.settled_at.is_(None)
    settled = update(commands).where(still_open).values(settled_at=now, outcome=safe_error(outcome))
    for row in fetch(connection, settled.returning(commands.c.study, commands.c.verb)):
        events.append(connection, row["study"], kind="command", data={"verb": row["verb"], "outcome": outcome}, now=now)


def _command(row: Found) -> CommandRow:
    return CommandRow(
        id=row["id"],
        study=row["study"],
        verb=row["verb"],
        body=load(row["body"]),
        created_at=row["created_at"],
        settled_at=row["settled_at"],
        outcome=row["outcome"],
    )
