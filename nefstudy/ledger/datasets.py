"""Records of the neural datasets on disk, keyed by digest and shared by all studies."""

from collections.abc import Sequence
from typing import final

from sqlalchemy import Connection, insert, select, update

from nefstudy.ledger.lease import Lease
from nefstudy.ledger.sql.access import Access
from nefstudy.ledger.sql.fetch import dump, load
from nefstudy.ledger.sql.rows import OPEN, NeuralDatasetRow
from nefstudy.ledger.sql.schema import documents, trials
from nefstudy.ledger.sql.schema import neural_datasets as table

DROPPING, DROPPED = "dropping", "dropped"


@final
class Datasets:
    """The neural datasets of a ledger."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def put(self, row: NeuralDatasetRow, *, lease: Lease | None = None) -> None:
        """Insert or update the record of a neural dataset: its path, rungs, size and state."""
        self._access.write(lambda c, now: _put(c, row, now=now), lease=lease)

    def get(self, digest: str) -> NeuralDatasetRow | None:
        """Return the record of one neural dataset, or None if there is no record."""
        return next(iter(self._select(digest)), None)

    def all(self) -> list[NeuralDatasetRow]:
        """Return all neural datasets, oldest first."""
        return self._select()

    def needs(self, study: str) -> dict[tuple[str, str], tuple[str, ...]]:
        """Return the digests of the neural datasets that each trial of a study needs, by (phase, key)."""
        query = select(trials.c.phase, trials.c.key, documents.c.needs).where(trials.c.study == study)
        query = query.join(documents, documents.c.trial_id == trials.c.id)
        return {(row.phase, row.key): tuple(load(row.needs)) for row in self._access.rows(query)}

    def begin_drop(self, digest: str, *, leases: Sequence[Lease] = ()) -> bool:
        """Mark a neural dataset as being dropped unless an open trial needs it.

        Return whether it was marked.
        """
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

        return self._access.write(act, lease=leases)

    def end_drop(self, digest: str, *, leases: Sequence[Lease] = ()) -> None:
        """Mark a neural dataset as dropped unless it has been refitted since `begin_drop`."""
        dropping = (table.c.digest == digest) & (table.c.state == DROPPING)
        self._access.write(lambda c, _: c.execute(update(table).where(dropping).values(state=DROPPED)), lease=leases)

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
    updated = connection.execute(update(table).where(table.c.digest == row.digest).values(values)).rowcount
    if updated == 0:
        connection.execute(insert(table).values(digest=row.digest, created_at=row.created_at or now, **values))
