"""Commands from users to a study's driver, and their outcomes."""

import uuid
from collections.abc import Mapping
from typing import Any, final

from sqlalchemy import Connection, Row, insert, select, update

from nefstudy.ledger import events
from nefstudy.ledger.lease import Lease
from nefstudy.ledger.sql.access import Access
from nefstudy.ledger.sql.fetch import dump, fetch, load
from nefstudy.ledger.sql.rows import CommandRow
from nefstudy.ledger.sql.schema import commands
from nefstudy.outside_text import safe_error


@final
class Commands:
    """The commands of a ledger."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def append(
        self, study: str, verb: str, *, body: Mapping[str, Any] | None = None, idempotency_key: str | None = None
    ) -> CommandRow:
        """Append a command for a study's driver and return it.

        If the idempotency key is already in use, return the command that uses it instead.
        """
        key = idempotency_key or uuid.uuid4().hex
        values = {"study": study, "verb": verb, "body": dump(dict(body or {})), "idempotency_key": key}
        query = select(commands).where(commands.c.study == study, commands.c.idempotency_key == key)

        def act(connection: Connection, now: float) -> CommandRow:
            row = connection.execute(query).one_or_none()
            if row is None:
                connection.execute(insert(commands).values(created_at=now, **values))
                events.append(connection, study, kind="command", data={"verb": verb}, now=now)
                row = connection.execute(query).one()
            return _command(row)

        return self._access.write(act)

    def settle(self, command: int, *, outcome: str = "done", lease: Lease | None = None) -> None:
        """Record the outcome of a command unless it already has one."""
        still_open = (commands.c.id == command) & commands.c.settled_at.is_(None)

        def act(connection: Connection, now: float) -> None:
            settled = update(commands).where(still_open).values(settled_at=now, outcome=safe_error(outcome))
            for row in fetch(connection, settled.returning(commands.c.study, commands.c.verb)):
                data = {"verb": row["verb"], "outcome": outcome}
                events.append(connection, row["study"], kind="command", data=data, now=now)

        self._access.write(act, lease=lease)

    def unsettled(self, study: str) -> list[CommandRow]:
        """Return the commands that have no outcome yet, oldest first."""
        query = select(commands).where(commands.c.study == study, commands.c.settled_at.is_(None))
        return [_command(row) for row in self._access.rows(query.order_by(commands.c.id))]

    def latest(self, study: str, *, limit: int = 100) -> list[CommandRow]:
        """Return the latest commands of a study, newest first."""
        query = select(commands).where(commands.c.study == study).order_by(commands.c.id.desc()).limit(limit)
        return [_command(row) for row in self._access.rows(query)]


def _command(row: Row[Any]) -> CommandRow:
    return CommandRow(
        id=row.id,
        study=row.study,
        verb=row.verb,
        body=load(row.body),
        created_at=row.created_at,
        settled_at=row.settled_at,
        outcome=row.outcome,
    )
