"""The outbox: results not exported yet. An entry stays, done, so that a later export knows it is not the first."""

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, case, func, insert, select, update

from nefstudy.ledger.fetch import fetch
from nefstudy.ledger.rows import OutboxRow
from nefstudy.ledger.schema import outbox, trials
from nefstudy.outside_text import safe_error

MAX_TRIES = 5  # begun more often, an entry waits to be asked for: what is refused once more would be refused for ever

_AGAIN = update(outbox).where(outbox.c.trial_id == bindparam("posted"))
_POST = insert(outbox)


def post(connection: Connection, trial_id: int) -> None:
    """Put a trial into the outbox, once."""
    if connection.execute(_AGAIN, {"posted": trial_id, "done": False}).rowcount == 0:
        connection.execute(_POST, {"trial_id": trial_id, "done": False, "tries": 0})


def refill(connection: Connection, *, study: str | None, states: Sequence[str]) -> int:
    """How many trials in these states are in the outbox now, to be exported anew."""
    ended = select(trials.c.id).where(trials.c.state.in_(states))
    if study is not None:
        ended = ended.where(trials.c.study == study)
    known = case((outbox.c.tries > 1, 1), else_=outbox.c.tries)
    again = update(outbox).where(outbox.c.trial_id.in_(ended)).values(done=False, tries=known)
    return connection.execute(again).rowcount


def retry(connection: Connection) -> int:
    """How many results that were given up are to be tried again; that they may have been begun stays known."""
    given_up = outbox.c.done.is_(False) & (outbox.c.tries >= MAX_TRIES)
    return connection.execute(update(outbox).where(given_up).values(tries=1)).rowcount


def pending(connection: Connection, *, limit: int) -> list[OutboxRow]:
    """The oldest entries not done; those tried most often come last."""
    trial = (trials.c.study, trials.c.phase, trials.c.key, trials.c.attempt)
    query = (
        select(outbox.c.id, *trial, outbox.c.tries, outbox.c.error)
        .join(trials, trials.c.id == outbox.c.trial_id)
        .where(outbox.c.done.is_(False))
        .order_by(outbox.c.tries, outbox.c.id)
        .limit(limit)
    )
    return [OutboxRow(**row) for row in fetch(connection, query)]


def take(connection: Connection, *, limit: int, skip: Sequence[int]) -> list[OutboxRow]:
    """The oldest entries worth a try, each counted as tried from now on; `tries` tells how often it was before."""
    oldest = pending(connection, limit=limit + len(skip))
    entries = [entry for entry in oldest if entry.tries < MAX_TRIES and entry.id not in skip][:limit]
    for entry in entries:
        connection.execute(update(outbox).where(outbox.c.id == entry.id).values(tries=entry.tries + 1))
    return entries


def size(connection: Connection, *, study: str | None = None) -> int:
    """How many results, of one study or of all, are not exported yet."""
    waiting = select(func.count()).select_from(outbox).where(outbox.c.done.is_(False))
    if study is not None:
        waiting = waiting.join(trials, trials.c.id == outbox.c.trial_id).where(trials.c.study == study)
    return int(connection.execute(waiting).scalar_one())


def mark(connection: Connection, entries: Sequence[OutboxRow]) -> None:
    """Record that entries are exported, unless their trial has gone on to another attempt since."""
    for entry in entries:
        current = select(trials.c.attempt).where(trials.c.id == outbox.c.trial_id).scalar_subquery()
        same = (outbox.c.id == entry.id) & (current == entry.attempt)
        connection.execute(update(outbox).where(same).values(done=True, error=None))


def mark_failed(connection: Connection, entry: OutboxRow, *, error: str) -> None:
    """Record why an export failed."""
    connection.execute(update(outbox).where(outbox.c.id == entry.id).values(error=safe_error(error)))
