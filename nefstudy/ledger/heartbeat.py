"""Keeping a lease while a driver works: a thread that renews it until it is told to stop."""

import threading
from types import TracebackType
from typing import Protocol, final, runtime_checkable

from nefstudy.errors import BadLedger, LedgerReplaced, StudyBusy
from nefstudy.ledger.lease import Lease

PATIENCE_S = 5.0  # a beat that waits for an absent database does not hold up the end


@runtime_checkable
class Renewer(Protocol):
    """What a heartbeat needs of a ledger."""

    def renew(self, lease: Lease) -> None:
        """Say that the holder lives."""


@final
class Heartbeat:
    """A thread that renews a lease; `lost` is the error that ended it, None while it is held."""

    def __init__(self, ledger: Renewer, lease: Lease) -> None:
        self.lost: StudyBusy | LedgerReplaced | None = None
        self._ledger = ledger
        self._lease = lease
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"lease of {lease.study}", daemon=True)

    def __enter__(self) -> "Heartbeat":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(PATIENCE_S)

    def _beat(self) -> None:
        while not self._stop.wait(self._lease.renew_every_s):
            try:
                self._ledger.renew(self._lease)
            except (StudyBusy, LedgerReplaced) as error:
                self.lost = error
                return
            except BadLedger:  # the database is away: the next beat or the driver's next commit finds out
                continue
