"""Transactions for the parts of a ledger; each write also checks the writer's leases in the same transaction."""

import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, final

from sqlalchemy import Connection, Executable, Row

from nefstudy.ledger.lease import Lease, beat
from nefstudy.ledger.sql.database import Database

T = TypeVar("T")


@final
class Access:
    """Read and write transactions for the parts of a ledger. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._beats: dict[str, int] = {}  # last beat that this process wrote, by nonce of the lease
        self._lock = threading.Lock()

    def read(self, act: Callable[[Connection], T]) -> T:
        """Run `act` on one snapshot of the database and return its result."""
        return self.database.read(act)

    def rows(self, query: Executable) -> Sequence[Row[Any]]:
        """Return the rows of one query."""
        return self.database.read(lambda connection: connection.execute(query).all())

    def write(self, act: Callable[[Connection, float], T], *, lease: Lease | Sequence[Lease] | None = None) -> T:
        """Run `act(connection, now)` and return its result once it is committed.

        Args:
            lease: leases of the writer; each is checked in the same transaction, which increments its beat.

        Raises:
            StudyBusy: a lease was lost. LedgerReplaced: the database is another ledger or an earlier copy.
        """
        leases = () if lease is None else (lease,) if isinstance(lease, Lease) else tuple(lease)
        after = {each.nonce: self.last_beat(each) for each in leases}

        def guarded(connection: Connection) -> tuple[dict[str, int], T]:
            now = self.database.now(connection) if leases else 0.0
            beats = {each.nonce: beat(connection, each, now=now, after=after[each.nonce]) for each in leases}
            return beats, act(connection, self.database.clock())

        beats, result = self.database.write(guarded)
        with self._lock:
            self._beats |= {nonce: max(number, self._beats.get(nonce, 0)) for nonce, number in beats.items()}
        return result

    def last_beat(self, lease: Lease) -> int:
        """Return the last beat of a lease that this process wrote, or 0 if there is none."""
        return self._beats.get(lease.nonce, 0)
