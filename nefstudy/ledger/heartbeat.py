"""A background thread that renews a lease while a driver runs."""

import threading
from types import TracebackType
from typing import Protocol, final, runtime_checkable

from nefstudy.errors import BadLedger, LedgerReplaced, StudyBusy
from nefstudy.ledger.lease import Lease

JOIN_TIMEOUT_S = 5.0  # so that a renewal waiting for an unreachable database does not delay the exit


@runtime_checkable
class Renewer(Protocol):
    """The part of `Leases` that `Heartbeat` uses."""

    def renew(self, lease: Lease) -> None:
        """Record that the holder is alive."""


@final
class Heartbeat:
    """A background thread that renews a lease.

    `lost` is the error that ended the lease, or None while the lease is held.
    """

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
        self._thread.join(JOIN_TIMEOUT_S)

    def _beat(self) -> None:
        while not self._stop.wait(self._lease.renew_every_s):
            try:
                self._ledger.renew(self._lease)
            except (StudyBusy, LedgerReplaced) as error:
                self.lost = error
                return
            except BadLedger:  # unreachable database: the next renewal or the driver's next commit reports it
                continue
