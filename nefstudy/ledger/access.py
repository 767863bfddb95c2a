"""Transactions of a ledger; a write first proves the leases under which it is made."""

import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, final

from sqlalchemy import Connection, Executable, Row

from nefstudy.ledger.database import Database
from nefstudy.ledger.lease import Lease, beat

T = TypeVar("T")


@final
class Access:
    """What every part of a ledger reads and writes through. Threads may share it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._beats: dict[str, int] = {}  # the last beat of each lease that was written here, by its nonce
        self._lock = threading.Lock()

    def read(self, act: Callable[[Connection], T]) -> T:
        """Return what `act` returns, all its reads from one snapshot."""
        return self.database.read(act)

    def rows(self, query: Executable) -> Sequence[Row[Any]]:
        """Return the rows of one query."""
        return self.database.read(lambda connection: connection.execute(query).all())

    def write(self, act: Callable[[Connection, float], T], *, lease: Lease | Sequence[Lease] | None = None) -> T:
        """Return what `act(connection, now)` returns, once it is committed.

        Args:
            lease: the leases of the writer. Each is checked in the same transaction, which counts as its next beat.

        Raises:
            StudyBusy: a lease was lost. LedgerReplaced: this is another ledger, or an earlier copy of it.
        """
        held = () if lease is None else (lease,) if isinstance(lease, Lease) else tuple(lease)
        after = {one.nonce: self.last_beat(one) for one in held}

        def guarded(connection: Connection) -> tuple[dict[str, int], T]:
            now = self.database.now(connection) if held else 0.0
            beats = {one.nonce: beat(connection, one, now=now, after=after[one.nonce]) for one in held}
            return beats, act(connection, self.database.clock())

        beats, result = self.database.write(guarded)
        with self._lock:
            self._beats |= {nonce: max(number, self._beats.get(nonce, 0)) for nonce, number in beats.items()}
        return result

    def last_beat(self, lease: Lease) -> int:
        """Return the last beat of a lease that was written here, 0 before the first."""
        return self._beats.get(lease.nonce, 0)
