"""Leases: one driver per study, one exporter per ledger.

Whether a holder still lives is decided in this order:

    same machine, its process has ended       taken over at once (pid, start, boot id, pid namespace)
    same machine, its process lives           silent for `lease_s` by the monotonic clock both share
    another machine                           silent for `lease_s` by the database's clock, and then watched
                                              for a while by our monotonic clock without a beat

so a clock that jumps can delay a takeover from another machine but never cause one.
"""

import time
import uuid
from dataclasses import dataclass
from typing import final

from sqlalchemy import Connection, insert, update

from nefstudy.errors import BadConfig, StudyBusy
from nefstudy.ledger import events, studies
from nefstudy.ledger.access import Access
from nefstudy.ledger.fetch import Found
from nefstudy.ledger.lease import EXPORT, Lease, busy, check, find
from nefstudy.ledger.owner import Owner
from nefstudy.ledger.schema import leases

WATCH = 6  # a silent holder is watched for a sixth of the lease: time for more than one renewal


@dataclass(frozen=True)
class Holder:
    """A process that holds a study, since when, and how long ago it was last heard of (seconds)."""

    study: str
    owner: Owner
    since: float
    seen_s: float
    lease_s: float

    @property
    def is_gone(self) -> bool:
        """Whether the holder's process is known to have ended."""
        return self.owner.is_gone


@dataclass(frozen=True)
class Silence:
    """A holder not heard of: the beat it stopped at, and how long to watch it before taking over."""

    epoch: int
    beat: int
    watch_s: float


@dataclass(frozen=True)
class Request:
    """A request for a lease; the nonce recognizes one that was committed although the answer was lost."""

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
        """Return the right to drive a study, waiting while a silent holder is watched.

        Raises:
            StudyBusy: another process drives it. BadConfig: there is no such study.
        """
        request = Request(study, owner, lease_s=lease_s, nonce=uuid.uuid4().hex)
        answer = self._try(request, watched=None)
        while isinstance(answer, Silence):
            time.sleep(answer.watch_s)
            answer = self._try(request, watched=answer)
        return answer

    def acquire_export(self, owner: Owner, *, lease_s: float = 60.0) -> Lease:
        """Return the right to empty the outbox; StudyBusy names the process that has it."""
        return self.acquire(EXPORT, owner, lease_s=lease_s)

    def renew(self, lease: Lease) -> None:
        """Record that the holder lives; StudyBusy when the lease was lost, LedgerReplaced in an earlier copy."""

        def act(connection: Connection, _: float) -> None:
            values = {"seen_at": self._database.now(connection), "seen_monotonic": time.monotonic()}
            connection.execute(update(leases).where(leases.c.study == lease.study).values(values))

        self._access.write(act, lease=lease)

    def check_held(self, *held: Lease) -> None:
        """Check that leases are held, before an act outside the database; raise as `renew` does."""
        after = {lease.nonce: self._access.last_beat(lease) for lease in held}

        def act(connection: Connection) -> None:
            for lease in held:
                check(connection, lease, now=self._database.now(connection), after=after[lease.nonce])

        self._access.read(act)

    def release(self, lease: Lease, *, state: str = "finished") -> None:
        """Give a lease up and leave the study in `state`; do nothing when it was lost or released before."""

        def act(connection: Connection) -> None:
            row, now = find(connection, lease.study), self._database.now(connection)
            if row is None or row["nonce"] != lease.nonce:
                return
            connection.execute(update(leases).where(leases.c.study == lease.study).values(nonce=None, seen_at=now))
            if lease.study != EXPORT:
                studies.set_state(connection, lease.study, state=state, now=now)

        self._database.write(act)

    def holder(self, study: str) -> Holder | None:
        """Return the process that drives a study, None without one."""

        def act(connection: Connection) -> Holder | None:
            row, now = find(connection, study), self._database.now(connection)
            if row is None or row["nonce"] is None:
                return None
            owner = Owner.from_json(row["owner"])
            age = time.monotonic() - row["seen_monotonic"] if owner.same_machine else now - row["seen_at"]
            return Holder(study=study, owner=owner, since=row["since"], seen_s=max(0.0, age), lease_s=row["lease_s"])

        return self._access.read(act)

    def _try(self, request: Request, *, watched: Silence | None) -> Lease | Silence:
        return self._database.write(lambda c: _claim(c, request, now=self._database.now(c), watched=watched))


def _claim(connection: Connection, request: Request, *, now: float, watched: Silence | None) -> Lease | Silence:
    """Return the lease when it is free or was watched in vain, otherwise the silence to watch first."""
    if request.name != EXPORT and not studies.knows(connection, request.name):
        raise BadConfig(f"study {request.name!r} is not in the ledger; put it there before driving it")
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


def _silence(row: Found, *, now: float, watched: Silence | None) -> Silence | None:
    """Return None when the holder may be taken over, else the silence to watch; raise StudyBusy while it lives."""
    owner, lease_s = Owner.from_json(row["owner"]), row["lease_s"]
    if owner.is_gone:
        return None
    if owner.same_machine:
        age = time.monotonic() - row["seen_monotonic"]
        if age < lease_s:
            raise StudyBusy(busy(row, age=age))
        return None
    age = now - row["seen_at"]
    if 0 <= age < lease_s:
        raise StudyBusy(busy(row, age=age))
    if watched is None:
        # a holder seen in the future only shows that some clock jumped: nothing of the lease counts as over
        return Silence(epoch=row["epoch"], beat=row["beat"], watch_s=lease_s / WATCH if age >= 0 else lease_s)
    if (watched.epoch, watched.beat) != (row["epoch"], row["beat"]):
        raise StudyBusy(busy(row, age=0.0))
    return None


def _lease(row: Found) -> Lease:
    return Lease(
        row["study"], row["epoch"], nonce=row["nonce"], owner=Owner.from_json(row["owner"]), lease_s=row["lease_s"]
    )
