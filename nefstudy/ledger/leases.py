"""Acquisition, renewal, takeover and release of leases: one driver per study, one exporter per ledger.

A lease is taken over when its holder counts as dead:

    same machine, process has ended       at once (compares pid, start time, boot id and pid namespace)
    same machine, process is running      no renewal for `lease_s` by the monotonic clock that both share
    another machine                       no renewal for `lease_s` by the database's clock, and then no beat
                                          while it is watched for some time by this process's monotonic clock

A clock that jumps can therefore delay a takeover from another machine, but never cause one.
"""

import time
import uuid
from dataclasses import dataclass
from typing import final

from sqlalchemy import Connection, insert, update

from nefstudy.errors import BadConfig, StudyBusy
from nefstudy.ledger import events, studies
from nefstudy.ledger.lease import EXPORT, Lease, busy_message, check, find
from nefstudy.ledger.owner import Owner
from nefstudy.ledger.sql.access import Access
from nefstudy.ledger.sql.fetch import RowDict
from nefstudy.ledger.sql.schema import leases

WATCHES = 6  # per lease duration: a silent holder is watched for a sixth of it, which covers more than one renewal


@dataclass(frozen=True)
class Holder:
    """The process that drives a study.

    Attributes:
        since: when it acquired the lease, UTC seconds.
        seen_s: seconds since its last renewal.
    """

    study: str
    owner: Owner
    since: float
    seen_s: float
    lease_s: float

    @property
    def has_ended(self) -> bool:
        """Whether the process is known to have ended."""
        return self.owner.has_ended


@dataclass(frozen=True)
class Silence:
    """A holder that stopped renewing: its last beat, and how long it must be watched before a takeover."""

    epoch: int
    beat: int
    watch_s: float


@dataclass(frozen=True)
class LeaseRequest:
    """A request for a lease.

    The nonce identifies a request that was committed although its response was lost.
    """

    name: str
    owner: Owner
    lease_s: float
    nonce: str


@final
class Leases:
    """The leases of a ledger."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._database = access.database

    def acquire(self, study: str, owner: Owner, *, lease_s: float = 60.0) -> Lease:
        """Acquire and return the lease of a study, after watching any silent holder.

        Raises:
            StudyBusy: another process drives the study. BadConfig: the study does not exist.
        """
        request = LeaseRequest(study, owner, lease_s=lease_s, nonce=uuid.uuid4().hex)
        answer = self._try(request, watched=None)
        while isinstance(answer, Silence):
            time.sleep(answer.watch_s)
            answer = self._try(request, watched=answer)
        return answer

    def acquire_export(self, owner: Owner, *, lease_s: float = 60.0) -> Lease:
        """Acquire and return the lease of the exporter.

        Raises:
            StudyBusy: another process, named in the message, holds it.
        """
        return self.acquire(EXPORT, owner, lease_s=lease_s)

    def renew(self, lease: Lease) -> None:
        """Record that the holder is alive.

        Raises:
            StudyBusy: the lease was lost. LedgerReplaced: the database is another ledger or an earlier copy.
        """

        def act(connection: Connection, _: float) -> None:
            values = {"seen_at": self._database.now(connection), "seen_monotonic": time.monotonic()}
            connection.execute(update(leases).where(leases.c.study == lease.study).values(values))

        self._access.write(act, lease=lease)

    def check_held(self, *held: Lease) -> None:
        """Check that all leases are still held, before an action outside the database.

        Raises the same errors as `renew`.
        """
        after = {lease.nonce: self._access.last_beat(lease) for lease in held}

        def act(connection: Connection) -> None:
            for lease in held:
                check(connection, lease, now=self._database.now(connection), after=after[lease.nonce])

        self._access.read(act)

    def release(self, lease: Lease, *, state: str = "finished") -> None:
        """Release a lease and set the study's state, unless the lease was already lost or released."""

        def act(connection: Connection) -> None:
            row, now = find(connection, lease.study), self._database.now(connection)
            if row is None or row["nonce"] != lease.nonce:
                return
            connection.execute(update(leases).where(leases.c.study == lease.study).values(nonce=None, seen_at=now))
            if lease.study != EXPORT:
                studies.set_state(connection, lease.study, state=state, now=now)

        self._database.write(act)

    def holder(self, study: str) -> Holder | None:
        """Return the process that drives a study, or None if there is none."""

        def act(connection: Connection) -> Holder | None:
            row, now = find(connection, study), self._database.now(connection)
            if row is None or row["nonce"] is None:
                return None
            owner = Owner.from_json(row["owner"])
            age = time.monotonic() - row["seen_monotonic"] if owner.same_machine else now - row["seen_at"]
            return Holder(study=study, owner=owner, since=row["since"], seen_s=max(0.0, age), lease_s=row["lease_s"])

        return self._access.read(act)

    def _try(self, request: LeaseRequest, *, watched: Silence | None) -> Lease | Silence:
        return self._database.write(lambda c: _claim(c, request, now=self._database.now(c), watched=watched))


def _claim(connection: Connection, request: LeaseRequest, *, now: float, watched: Silence | None) -> Lease | Silence:
    """Return the lease if it is available; otherwise return the silent holder to watch before trying again."""
    if request.name != EXPORT and not studies.exists(connection, request.name):
        raise BadConfig(f"study {request.name!r} is not in the ledger; create it before driving it")
    row = find(connection, request.name)
    if row is not None and row["nonce"] == request.nonce:
        return _lease(row)
    if row is not None and row["nonce"] is not None:
        silence = _silence(row, now=now, watched=watched)
        if silence is not None:
            return silence
    epoch = 1 if row is None else row["epoch"] + 1
    values = {"study": request.name, "epoch": epoch, "nonce": request.nonce, "owner": request.owner.to_json()}
    values |= {"lease_s": request.lease_s, "since": now, "beat": 0, "seen_at": now, "seen_monotonic": time.monotonic()}
    write = insert(leases) if row is None else update(leases).where(leases.c.study == request.name)
    connection.execute(write.values(values))
    if request.name != EXPORT:
        data = {"epoch": epoch, "host": request.owner.host, "pid": request.owner.pid}
        events.append(connection, request.name, kind="lease", data=data, now=now)
        studies.set_state(connection, request.name, state="running", now=now)
    return Lease(request.name, epoch, nonce=request.nonce, owner=request.owner, lease_s=request.lease_s)


def _silence(row: RowDict, *, now: float, watched: Silence | None) -> Silence | None:
    """Return the silent holder to watch before a takeover, or None if the lease may be taken over now.

    Raises:
        StudyBusy: the holder is alive.
    """
    owner, lease_s = Owner.from_json(row["owner"]), row["lease_s"]
    if owner.has_ended:
        return None
    if owner.same_machine:
        age = time.monotonic() - row["seen_monotonic"]
        if age < lease_s:
            raise StudyBusy(busy_message(row, age=age))
        return None
    age = now - row["seen_at"]
    if 0 <= age < lease_s:
        raise StudyBusy(busy_message(row, age=age))
    if watched is None:
        # a renewal in the future only shows that a clock jumped: watch for the whole lease duration
        return Silence(epoch=row["epoch"], beat=row["beat"], watch_s=lease_s / WATCHES if age >= 0 else lease_s)
    if (watched.epoch, watched.beat) != (row["epoch"], row["beat"]):
        raise StudyBusy(busy_message(row, age=0.0))
    return None


def _lease(row: RowDict) -> Lease:
    return Lease(
        row["study"], row["epoch"], nonce=row["nonce"], owner=Owner.from_json(row["owner"]), lease_s=row["lease_s"]
    )
