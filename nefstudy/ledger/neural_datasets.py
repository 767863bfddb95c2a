"""Neural datasets on disk, as the ledger knows them: by digest, shared by all studies."""

from sqlalchemy import Connection, insert, select, update

from nefstudy.ledger.fetch import fetch
from nefstudy.ledger.rows import OPEN, NeuralDatasetRow
from nefstudy.ledger.schema import neural_datasets as table
from nefstudy.ledger.schema import trials
from nefstudy.ledger.texts import dump, load

DROPPING, DROPPED = "dropping", "dropped"


def put(connection: Connection, row: NeuralDatasetRow, *, now: float) -> None:
    """Record where a neural dataset is and which rungs it has, in place of what was known."""
    values = {
        "path": row.path,
        "rungs": dump(list(row.rungs)),
        "bytes": row.bytes,
        "fingerprint": dump(row.fingerprint),
        "state": row.state,
    }
    known = connection.execute(update(table).where(table.c.digest == row.digest).values(values)).rowcount
    if known == 0:
        connection.execute(insert(table).values(digest=row.digest, created_at=row.created_at or now, **values))


def begin_drop(connection: Connection, digest: str, *, now: float) -> bool:
    """Mark a neural dataset as being dropped; return False, and mark nothing, while a trial in flight may read it."""
    reads = select(trials.c.id).where(trials.c.dataset == digest, trials.c.state.in_(OPEN)).limit(1)
    if connection.execute(reads).first() is not None:
        return False
    known = connection.execute(update(table).where(table.c.digest == digest).values(state=DROPPING)).rowcount
    if known == 0:
        put(connection, NeuralDatasetRow(digest, "", rungs=(), bytes=0, fingerprint={}, state=DROPPING), now=now)
    return True


def end_drop(connection: Connection, digest: str) -> None:
    """Mark a neural dataset as dropped, unless it was fitted again in the meantime."""
    dropping = (table.c.digest == digest) & (table.c.state == DROPPING)
    connection.execute(update(table).where(dropping).values(state=DROPPED))


def find(connection: Connection, *, digest: str | None = None) -> list[NeuralDatasetRow]:
    """The neural datasets, oldest first."""
    query = select(table).order_by(table.c.created_at, table.c.digest)
    if digest is not None:
        query = query.where(table.c.digest == digest)
    found = []
    for row in fetch(connection, query):
        texts = {"rungs": tuple(load(row["rungs"])), "fingerprint": load(row["fingerprint"])}
        found.append(NeuralDatasetRow(**(row | texts)))
    return found
