"""The outbox: results not exported yet. An entry stays, done, so that a later export knows it is not the first."""

from collections.abc import Sequence
from typing import Any, final

from sqlalchemy import Connection, Select, bindparam, case, func, insert, select, update

from nefstudy.ledger.access import Access
from nefstudy.ledger.lease import Lease
from nefstudy.ledger.rows import OutboxRow, TrialState
from nefstudy.ledger.schema import outbox, trials
from nefstudy.outside_text import safe_error

MAX_TRIES = 5  # an entry begun more often waits until a user retries it: it would be refused again
ENDED = (TrialState.COMPLETE, TrialState.FAILED, TrialState.PRUNED)

_AGAIN = update(outbox).where(outbox.c.trial_id == bindparam("posted"))
_POST = insert(outbox)


@final
class Outbox:
    """The outbox of a ledger."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def take(self, limit: int = 100, *, skip: Sequence[int] = (), lease: Lease | None = None) -> list[OutboxRow]:
        """Return the oldest entries worth a try, each counted as tried; `tries` is how often each was before."""

        def act(connection: Connection, _: float) -> list[OutboxRow]:
            oldest = [OutboxRow(**row._asdict()) for row in connection.execute(_pending(limit + len(skip)))]
            entries = [entry for entry in oldest if entry.tries < MAX_TRIES and entry.id not in skip][:limit]
            for entry in entries:
                connection.execute(update(outbox).where(outbox.c.id == entry.id).values(tries=entry.tries + 1))
            return entries

        return self._access.write(act, lease=lease)

    def mark(self, entries: Sequence[OutboxRow], *, lease: Lease | None = None) -> None:
        """Record that entries are exported; one whose trial has another attempt since stays in the outbox."""

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
        """Put every ended trial of a study, or of all, into the outbox again; return how many."""
        ended = select(trials.c.id).where(trials.c.state.in_(ENDED))
        if study is not None:
            ended = ended.where(trials.c.study == study)
        known = case((outbox.c.tries > 1, 1), else_=outbox.c.tries)
        again = update(outbox).where(outbox.c.trial_id.in_(ended)).values(done=False, tries=known)
        return self._access.write(lambda c, _: c.execute(again).rowcount)

    def retry(self) -> int:
        """Let entries that were given up be tried again; return how many. That each may have been begun stays known."""
        given_up = outbox.c.done.is_(False) & (outbox.c.tries >= MAX_TRIES)
        return self._access.write(lambda c, _: c.execute(update(outbox).where(given_up).values(tries=1)).rowcount)

    def pending(self, limit: int = 100) -> list[OutboxRow]:
        """Return the oldest results not exported yet; those tried most often come last."""
        return [OutboxRow(**row._asdict()) for row in self._access.rows(_pending(limit))]

    def size(self, study: str | None = None) -> int:
        """Return how many results, of one study or of all, are not exported yet."""
        waiting = select(func.count()).select_from(outbox).where(outbox.c.done.is_(False))
        if study is not None:
            waiting = waiting.join(trials, trials.c.id == outbox.c.trial_id).where(trials.c.study == study)
        return int(self._access.rows(waiting)[0][0])


def post(connection: Connection, trial_id: int) -> None:
    """Put a trial into the outbox, once."""
    if connection.execute(_AGAIN, {"posted": trial_id, "done": False}).rowcount == 0:
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
