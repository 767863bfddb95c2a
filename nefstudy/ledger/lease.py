"""A lease: the right to drive a study, proved by every write of its holder.

Every write of a holder counts as a beat. A beat that is not higher than the last one proves that the ledger was
replaced by an earlier copy. A holder that was taken over is fenced: its writes are refused from then on.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, bindparam, select, update

from nefstudy.errors import LedgerReplaced, StudyBusy
from nefstudy.ledger.fetch import Found, fetch_one
from nefstudy.ledger.owner import Owner
from nefstudy.ledger.schema import leases

RENEWALS = 10  # renewals within a lease: a holder may miss nine
EXPORT = "/export"  # the lease of the process that empties the outbox; no study can have this name

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


def check(connection: Connection, lease: Lease, *, now: float, after: int) -> None:
    """Check that the lease is the study's latest and that its beat is at least `after`; write nothing.

    Raises:
        StudyBusy: the lease was lost or released.
        LedgerReplaced: this is another ledger, or an earlier copy of it.
    """
    row = find(connection, lease.study)
    if row is None or row["epoch"] < lease.epoch:
        raise LedgerReplaced(_replaced(lease))
    if row["nonce"] is None:
        raise StudyBusy(f"the lease of study {lease.study!r} was released; run the same command again to continue")
    if row["nonce"] != lease.nonce:
        raise StudyBusy(busy(row, age=max(0.0, now - row["seen_at"])))
    if row["beat"] < after:
        raise LedgerReplaced(_replaced(lease))


def beat(connection: Connection, lease: Lease, *, now: float, after: int) -> int:
    """Write and return the next beat of the lease; raise as `check` does."""
    number = connection.execute(_BEAT, {"held": lease.study, "by": lease.nonce}).scalar()
    if number is None or number <= after:
        check(connection, lease, now=now, after=after + 1)
        raise LedgerReplaced(_replaced(lease))
    return int(number)


def find(connection: Connection, study: str) -> Found | None:
    """Return the row of a study's latest lease, None before the first."""
    return fetch_one(connection, _FIND, {"wanted": study})


def busy(row: Found, *, age: float) -> str:
    """Return the message of StudyBusy for a row whose holder was last heard of `age` seconds ago."""
    owner = Owner.from_json(row["owner"])
    since = datetime.fromtimestamp(row["since"], UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    holder = f"pid {owner.pid} on {owner.host} since {since} (heard of {age:.0f} s ago)"
    if row["study"] == EXPORT:
        return f"results are being exported by {holder}; wait for it"
    return f"study {row['study']!r} is driven by {holder}; wait for it, stop it, or give another --study"


def _replaced(lease: Lease) -> str:
    who = "the export" if lease.study == EXPORT else f"study {lease.study!r}"
    return (
        f"{who} stopped: its ledger was replaced by another one or by an earlier copy while it ran; "
        "check the ledger, then run the same command again to complete what it lacks"
    )
