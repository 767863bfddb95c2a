"""The outbox: results to export to MLflow.

Exported entries are kept and marked as done, so that a later export of the same trial is known to be a repeat.
"""

from collections.abc import Sequence
from typing import Any, final

from sqlalchemy import Connection, Select, bindparam, case, func, insert, select, update

from nefstudy.ledger.lease import Lease
from nefstudy.ledger.sql.access import Access
from nefstudy.ledger.sql.rows import TERMINAL, OutboxRow
from nefstudy.ledger.sql.schema import outbox, trials
from nefstudy.outside_text import safe_error

MAX_TRIES = 5  # exports of an entry; after that it waits until a user retries it, since it would be refused again

_REPOST = update(outbox).where(outbox.c.trial_id == bindparam("posted"))
_POST = insert(outbox)


@final
class Outbox:
    """The outbox of a ledger."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def take(self, limit: int = 100, *, skip: Sequence[int] = (), lease: Lease | None = None) -> list[OutboxRow]:
        """Return the oldest entries that have tries left, and count one more try for each entry.

        The returned numbers of tries do not include the new one.
        """

        def act(connection: Connection, _: float) -> list[OutboxRow]:
            oldest = [OutboxRow(**row._asdict()) for row in connection.execute(_pending(limit + len(skip)))]
            entries = [entry for entry in oldest if entry.tries < MAX_TRIES and entry.id not in skip][:limit]
            for entry in entries:
                connection.execute(update(outbox).where(outbox.c.id == entry.id).values(tries=entry.tries + 1))
            return entries

        return self._access.write(act, lease=lease)

    def mark_exported(self, entries: Sequence[OutboxRow], *, lease: Lease | None = None) -> None:
        """Mark entries as exported, except those whose trials have had another attempt since."""

        def act(connection: Connection, _: float) -> None:
            for entry in entries:
                current = select(trials.c.attempt).where(trials.c.id == outbox.c.trial_id).scalar_subquery()
                same = (outbox.c.id == entry.id) & (current == entry.attempt)
                connection.execute(update(outbox).where(same).values(done=True, error=None))

        self._access.write(act, lease=lease)

    def mark_failed(self, entry: OutboxRow, *, error: str, lease: Lease | None = None) -> None:
        """Record why an export failed."""
        change = update(outbox).where(outbox.c.id == entry.id).values(error=safe_error(error))
        self._access.write(lambda c, _: c.execute(change), lease=lease)

    def refill(self, study: str | None = None) -> int:
        """Queue all terminal trials, of one study or of every study, for another export.

        Return the number of queued trials.
        """
        terminal = select(trials.c.id).where(trials.c.state.in_(TERMINAL))
        if study is not None:
            terminal = terminal.where(trials.c.study == study)
        tries = case((outbox.c.tries > 1, 1), else_=outbox.c.tries)
        refill = update(outbox).where(outbox.c.trial_id.in_(terminal)).values(done=False, tries=tries)
        return self._access.write(lambda c, _: c.execute(refill).rowcount)

    def retry(self) -> int:
        """Allow another try for the entries that ran out of tries, and return their number.

        Their tries become 1, not 0, because an earlier try may have created a run.
        """
        exhausted = outbox.c.done.is_(False) & (outbox.c.tries >= MAX_TRIES)
        return self._access.write(lambda c, _: c.execute(update(outbox).where(exhausted).values(tries=1)).rowcount)

    def pending(self, limit: int = 100) -> list[OutboxRow]:
        """Return the results that are not exported yet, fewest tries first, then oldest first."""
        return [OutboxRow(**row._asdict()) for row in self._access.rows(_pending(limit))]

    def size(self, study: str | None = None) -> int:
        """Return the number of results, of one study or of every study, that are not exported yet."""
        waiting = select(func.count()).select_from(outbox).where(outbox.c.done.is_(False))
        if study is not None:
            waiting = waiting.join(trials, trials.c.id == outbox.c.trial_id).where(trials.c.study == study)
        return int(self._access.rows(waiting)[0][0])


def post(connection: Connection, trial_id: int) -> None:
    """Queue a trial for export; a trial that was exported before is queued again."""
    if connection.execute(_REPOST, {"posted": trial_id, "done": False}).rowcount == 0:
        connection.execute(_POST, {"trial_id": trial_id, "done": False, "tries": 0})


def _pending(limit: int) -> Select[Any]:
    trial = (trials.c.study, trials.c.phase, trials.c.key, trials.c.attempt)
    return (
        select(outbox.c.id, *trial, outbox.c.tries, outbox.c.error)
        .join(trials, trials.c.id == outbox.c.trial_id)
        .where(outbox.c.done.is_(False))
        .order_by(outbox.c.tries, outbox.c.id)
        .limit(limit)
    )
