"""One driver a study: a lease with an epoch, kept by renewing, lost by falling silent.

Whether a holder still lives is decided, in this order:

    same machine, its process has ended       taken over at once (pid, start, boot id, pid namespace)
    same machine, its process lives           silent for `lease_s` by the monotonic clock both share
    another machine                           silent for `lease_s` by the database's clock, and then watched
                                              for another while by our own monotonic clock without a beat

so a clock that jumps can delay a takeover from another machine but never cause one. A holder that was
taken over is fenced: everything it writes with its lease is refused from then on.

Every write of a holder counts as a beat. A beat that is not higher than the last one proves that the ledger was
replaced by an earlier copy.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, bindparam, insert, select, update

from nefstudy.errors import BadConfig, LedgerReplaced, StudyBusy
from nefstudy.ledger import events, studies
from nefstudy.ledger.fetch import Found, fetch_one
from nefstudy.ledger.owner import Owner
from nefstudy.ledger.schema import leases

RENEWALS = 10  # renewals within a lease: a holder may miss nine
WATCH = 6  # a silent holder is watched for a sixth of the lease: time for more than one renewal
EXPORT = "/export"  # the lease of whoever empties the outbox; no study can have this name

_FIND = select(leases).where(leases.c.study == bindparam("wanted"))
_BEAT = (
    update(leases)
    .where(leases.c.study == bindparam("held"), leases.c.nonce == bindparam("by"))
    .values(beat=leases.c.beat + 1)
    .returning(leases.c.beat)
)


@dataclass(frozen=True)
class Lease:
    """The right to drive a study, good while its epoch is the latest."""

    study: str
    epoch: int
    nonce: str
    owner: Owner
    lease_s: float

    @property
    def renew_every_s(self) -> float:
        """How often the holder renews."""
        return self.lease_s / RENEWALS


@dataclass(frozen=True)
class Holder:
    """Who holds a study, since when, and how long ago it was last heard of (seconds)."""

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
class Wish:
    """Somebody who wants a lease; the nonce recognises a claim that was committed although the answer was lost."""

    name: str
    owner: Owner
    lease_s: float
    nonce: str


def claim(connection: Connection, wish: Wish, *, now: float, watched: Silence | None) -> Lease | Silence:
    """The lease when it is free, or has been watched in vain; otherwise the silence to watch first.

    Raises:
        StudyBusy: the holder lives.
        BadConfig: there is no such study.
    """
    if wish.name != EXPORT and studies.get_study(connection, wish.name) is None:
        raise BadConfig(f"study {wish.name!r} is not in the ledger; put it there before driving it")
    row = _row(connection, wish.name)
    if row is not None and row["nonce"] == wish.nonce:
        return _lease(row)
    if row is not None and row["nonce"] is not None:
        silence = _silence(row, now=now, watched=watched)
        if silence is not None:
            return silence
    epoch = 1 if row is None else row["epoch"] + 1
    values = {"study": wish.name, "epoch": epoch, "nonce": wish.nonce, "owner": wish.owner.to_json()}
    values |= {"lease_s": wish.lease_s, "since": now, "beat": 0, "seen_at": now, "seen_monotonic": time.monotonic()}
    write = insert(leases) if row is None else update(leases).where(leases.c.study == wish.name)
    connection.execute(write.values(values))
    if wish.name != EXPORT:
        data = {"epoch": epoch, "host": wish.owner.host, "pid": wish.owner.pid}
        events.append(connection, wish.name, kind="lease", data=data, now=now)
        studies.set_state(connection, wish.name, state="running", now=now)
    return Lease(wish.name, epoch, nonce=wish.nonce, owner=wish.owner, lease_s=wish.lease_s)


def _silence(row: Found, *, now: float, watched: Silence | None) -> Silence | None:
    """None when the holder may be taken over; the silence to watch; StudyBusy while it lives."""
    owner, lease_s = Owner.from_json(row["owner"]), row["lease_s"]
    if owner.is_gone:
        return None
    if owner.same_machine:
        age = time.monotonic() - row["seen_monotonic"]
        if age < lease_s:
            raise StudyBusy(_busy(row, age=age))
        return None
    age = now - row["seen_at"]
    if 0 <= age < lease_s:
        raise StudyBusy(_busy(row, age=age))
    if watched is None:
        # a holder seen in the future tells only that some clock jumped: nothing of the lease counts as over
        return Silence(epoch=row["epoch"], beat=row["beat"], watch_s=lease_s / WATCH if age >= 0 else lease_s)
    if (watched.epoch, watched.beat) != (row["epoch"], row["beat"]):
        raise StudyBusy(_busy(row, age=0.0))
    return None


def check(connection: Connection, lease: Lease, *, now: float, after: int) -> None:
    """Check that the lease is the study's latest and that its beat is at least `after`; write nothing.

    Raises:
        StudyBusy: the lease was lost or released.
        LedgerReplaced: this is another ledger, or an earlier copy of it.
    """
    row = _row(connection, lease.study)
    if row is None or row["epoch"] < lease.epoch:
        raise LedgerReplaced(_replaced(lease))
    if row["nonce"] is None:
        raise StudyBusy(f"the lease of study {lease.study!r} was released; run the same command again to continue")
    if row["nonce"] != lease.nonce:
        raise StudyBusy(_busy(row, age=max(0.0, now - row["seen_at"])))
    if row["beat"] < after:
        raise LedgerReplaced(_replaced(lease))


def beat(connection: Connection, lease: Lease, *, now: float, after: int) -> int:
    """Return the next beat of the lease, which the transaction of a holder writes first; raise as `check` does."""
    found = connection.execute(_BEAT, {"held": lease.study, "by": lease.nonce}).scalar()
    if found is None or found <= after:
        check(connection, lease, now=now, after=after + 1)
        raise LedgerReplaced(_replaced(lease))
    return int(found)


def renew(connection: Connection, lease: Lease, *, now: float) -> None:
    """Record that the holder lives."""
    values = {"seen_at": now, "seen_monotonic": time.monotonic()}
    connection.execute(update(leases).where(leases.c.study == lease.study).values(values))


def release(connection: Connection, lease: Lease, *, state: str, now: float) -> None:
    """Give the lease up and leave the study in `state`; nothing happens when it was lost or released before."""
    row = _row(connection, lease.study)
    if row is None or row["nonce"] != lease.nonce:
        return
    connection.execute(update(leases).where(leases.c.study == lease.study).values(nonce=None, seen_at=now))
    if lease.study != EXPORT:
        studies.set_state(connection, lease.study, state=state, now=now)


def holder(connection: Connection, study: str, *, now: float) -> Holder | None:
    """Who holds the study, None when nobody does."""
    row = _row(connection, study)
    if row is None or row["nonce"] is None:
        return None
    owner = Owner.from_json(row["owner"])
    age = time.monotonic() - row["seen_monotonic"] if owner.same_machine else now - row["seen_at"]
    return Holder(study=study, owner=owner, since=row["since"], seen_s=max(0.0, age), lease_s=row["lease_s"])


def _row(connection: Connection, study: str) -> Found | None:
    return fetch_one(connection, _FIND, {"wanted": study})


def _lease(row: Found) -> Lease:
    return Lease(
        row["study"], row["epoch"], nonce=row["nonce"], owner=Owner.from_json(row["owner"]), lease_s=row["lease_s"]
    )


def _replaced(lease: Lease) -> str:
    who = "the export" if lease.study == EXPORT else f"study {lease.study!r}"
    return (
        f"{who} stopped: its ledger was replaced by another one or by an earlier copy while it ran; "
        "check the ledger, then run the same command again to complete what it lacks"
    )


def _busy(row: Found, *, age: float) -> str:
    owner = Owner.from_json(row["owner"])
    since = datetime.fromtimestamp(row["since"], UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    holder = f"pid {owner.pid} on {owner.host} since {since} (heard of {age:.0f} s ago)"
    if row["study"] == EXPORT:
        return f"results are being exported by {holder}; wait for it"
    return f"study {row['study']!r} is driven by {holder}; wait for it, stop it, or give another --study"
