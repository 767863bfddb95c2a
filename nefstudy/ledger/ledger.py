"""The ledger class, which opens the database and exposes its parts (studies, leases, trials, ...)."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import final

from nefstudy.errors import BadLedger
from nefstudy.ledger.commands import Commands
from nefstudy.ledger.datasets import Datasets
from nefstudy.ledger.events import Events
from nefstudy.ledger.leases import Leases
from nefstudy.ledger.outbox import Outbox
from nefstudy.ledger.sql.access import Access
from nefstudy.ledger.sql.address import redacted_address
from nefstudy.ledger.sql.database import Database
from nefstudy.ledger.studies import Studies
from nefstudy.ledger.trials import Trials


@final
class Ledger:
    """The record of all studies, on SQLite or PostgreSQL. Thread-safe.

    Every method of its parts is one transaction. A write with a lease is refused once the lease is lost.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        access = Access(database)
        self.studies = Studies(access)
        self.leases = Leases(access)
        self.trials = Trials(access)
        self.datasets = Datasets(access)
        self.commands = Commands(access)
        self.events = Events(access)
        self.outbox = Outbox(access)

    @classmethod
    def open(
        cls, url: str, *, read_only: bool = False, timeout_s: float = 60.0, clock: Callable[[], float] = time.time
    ) -> "Ledger":
        """Open the ledger at a path or database URL, creating it if it is missing unless `read_only`.

        Args:
            timeout_s: how long a method retries while the database is locked or unreachable.

        Raises:
            NoLedger: it is missing and `read_only`. OtherVersion: it has another version.
            BadLedger: it is not a ledger, or not reachable.
        """
        database = Database(url, read_only=read_only, timeout_s=timeout_s, clock=clock)
        try:
            database.prepare()
        except BadLedger:
            database.close()
            raise
        return cls(database)

    @classmethod
    def follow(cls, url: str, *, read_only: bool = True, timeout_s: float = 60.0) -> "Ledger":
        """Return a ledger that never creates its database and detects on every call whether it was replaced.

        Methods raise NoLedger while the ledger is missing and OtherVersion while it has another version.
        """
        return cls(Database(url, read_only=read_only, timeout_s=timeout_s, clock=time.time, existing=True))

    @property
    def generation(self) -> int:
        """Number of databases found at the address so far; when it changes, caches become invalid."""
        return self._database.generation

    @property
    def url(self) -> str:
        """The ledger's address without any password."""
        return redacted_address(self._database.address)

    @property
    def read_only(self) -> bool:
        """Whether writes are refused."""
        return self._database.read_only

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
