"""Neural datasets on disk, as the ledger knows them: by digest, shared by all studies."""

from collections.abc import Sequence
from typing import final

from sqlalchemy import Connection, insert, select, update

from nefstudy.ledger.access import Access
from nefstudy.ledger.lease import Lease
from nefstudy.ledger.rows import OPEN, NeuralDatasetRow
from nefstudy.ledger.schema import documents, trials
from nefstudy.ledger.schema import neural_datasets as table
from nefstudy.ledger.texts import dump, load

DROPPING, DROPPED = "dropping", "dropped"


@final
class Datasets:
    """The neural datasets of a ledger."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def put(self, row: NeuralDatasetRow, *, lease: Lease | None = None) -> None:
        """Record where a neural dataset is and which rungs it has, replacing what was known."""
        self._access.write(lambda c, now: _put(c, row, now=now), lease=lease)

    def get(self, digest: str) -> NeuralDatasetRow | None:
        """Return one neural dataset, None when the ledger does not know it."""
        return next(iter(self._select(digest)), None)

    def all(self) -> list[NeuralDatasetRow]:
        """Return the neural datasets, oldest first."""
        return self._select()

    def begin_drop(self, digest: str, *, held: Sequence[Lease] = ()) -> bool:
        """Mark a neural dataset as being dropped; return False, and mark nothing, while an open trial may read it."""
        reads = (
            select(trials.c.id)
            .join(documents, documents.c.trial_id == trials.c.id)
            .where(trials.c.state.in_(OPEN), documents.c.needs.contains(dump(digest), autoescape=True))
            .limit(1)
        )
        mark = update(table).where(table.c.digest == digest).values(state=DROPPING)

        def act(connection: Connection, now: float) -> bool:
            if connection.execute(reads).first() is not None:
                return False
            if connection.execute(mark).rowcount == 0:
                row = NeuralDatasetRow(digest, "", rungs=(), bytes=0, fingerprint={}, state=DROPPING)
                _put(connection, row, now=now)
            return True

        return self._access.write(act, lease=held)

    def end_drop(self, digest: str, *, held: Sequence[Lease] = ()) -> None:
        """Mark a neural dataset as dropped, unless it was fitted again since `begin_drop`."""
        dropping = (table.c.digest == digest) & (table.c.state == DROPPING)
        self._access.write(lambda c, _: c.execute(update(table).where(dropping).values(state=DROPPED)), lease=held)

    def _select(self, digest: str | None = None) -> list[NeuralDatasetRow]:
        query = select(table).order_by(table.c.created_at, table.c.digest)
        if digest is not None:
            query = query.where(table.c.digest == digest)
        rows = []
        for row in self._access.rows(query):
            texts = {"rungs": tuple(load(row.rungs)), "fingerprint": load(row.fingerprint)}
            rows.append(NeuralDatasetRow(**(row._asdict() | texts)))
        return rows


def _put(connection: Connection, row: NeuralDatasetRow, *, now: float) -> None:
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
