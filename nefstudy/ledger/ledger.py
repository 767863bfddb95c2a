"""The ledger: its address, and its parts by noun."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import final

from nefstudy.errors import BadLedger
from nefstudy.ledger.access import Access
from nefstudy.ledger.address import shown_address
from nefstudy.ledger.commands import Commands
from nefstudy.ledger.database import Database
from nefstudy.ledger.datasets import Datasets
from nefstudy.ledger.events import Events
from nefstudy.ledger.leases import Leases
from nefstudy.ledger.outbox import Outbox
from nefstudy.ledger.studies import Studies
from nefstudy.ledger.trials import Trials


@final
class Ledger:
    """The one record of what happened, on SQLite or PostgreSQL. Threads may share it.

    Every method of its parts is one transaction. A write that is given a lease is refused once the lease is lost.
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
        cls, url: str, *, read_only: bool = False, patience_s: float = 60.0, clock: Callable[[], float] = time.time
    ) -> "Ledger":
        """Open the ledger at a path or database URL, created first unless `read_only`.

        Args:
            patience_s: how long a method retries while the database is locked or away.

        Raises:
            NoLedger: missing (read-only). OtherVersion: of another version. BadLedger: not a ledger, or not reachable.
        """
        database = Database(url, read_only=read_only, patience_s=patience_s, clock=clock)
        try:
            database.prepare()
        except BadLedger:
            database.close()
            raise
        return cls(database)

    @classmethod
    def follow(cls, url: str, *, read_only: bool = True, patience_s: float = 60.0) -> "Ledger":
        """Return the ledger that is at an address at the time of each call; it is never made here.

        Methods raise NoLedger until there is one, OtherVersion while it is of another version.
        """
        return cls(Database(url, read_only=read_only, patience_s=patience_s, clock=time.time, existing=True))

    @property
    def edition(self) -> int:
        """Rises when another database is found at the address, whose answers may be others."""
        return self._database.edition

    @property
    def url(self) -> str:
        """Where the ledger is, without any password."""
        return shown_address(self._database.address)

    @property
    def read_only(self) -> bool:
        """Whether writing is refused."""
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
