"""The lease record, and the check of a lease that is part of every write by its holder.

Every write of the holder increments the lease's beat. A beat that is not higher than the holder's last one proves
that the ledger was replaced by an earlier copy. A holder whose lease was taken over is fenced: its writes are refused.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, bindparam, select, update

from nefstudy.errors import LedgerReplaced, StudyBusy
from nefstudy.ledger.owner import Owner
from nefstudy.ledger.sql.fetch import RowDict, fetch_one
from nefstudy.ledger.sql.schema import leases

RENEWALS = 10  # renewals per lease duration: a holder may miss nine
EXPORT = "/export"  # name of the exporter's lease; not a valid study name

_FIND = select(leases).where(leases.c.study == bindparam("of_study"))
_BEAT = (
    update(leases)
    .where(leases.c.study == bindparam("held"), leases.c.nonce == bindparam("by"))
    .values(beat=leases.c.beat + 1)
    .returning(leases.c.beat)
)


@dataclass(frozen=True)
class Lease:
    """The exclusive right to drive a study, valid while its epoch is the latest."""

    study: str
    epoch: int
    nonce: str
    owner: Owner
    lease_s: float

    @property
    def renew_every_s(self) -> float:
        """Seconds between renewals."""
        return self.lease_s / RENEWALS


def check(connection: Connection, lease: Lease, *, now: float, after: int) -> None:
    """Check, without writing, that a lease is the study's latest and its beat is at least `after`.

    Raises:
        StudyBusy: the lease was lost or released.
        LedgerReplaced: the database is another ledger or an earlier copy of this one.
    """
    row = find(connection, lease.study)
    if row is None or row["epoch"] < lease.epoch:
        raise LedgerReplaced(_replaced_message(lease))
    if row["nonce"] is None:
        raise StudyBusy(f"the lease of study {lease.study!r} was released; run the same command again to continue")
    if row["nonce"] != lease.nonce:
        raise StudyBusy(busy_message(row, age=max(0.0, now - row["seen_at"])))
    if row["beat"] < after:
        raise LedgerReplaced(_replaced_message(lease))


def beat(connection: Connection, lease: Lease, *, now: float, after: int) -> int:
    """Increment and return the beat of a lease.

    Raises the same errors as `check`.
    """
    number = connection.execute(_BEAT, {"held": lease.study, "by": lease.nonce}).scalar()
    if number is None or number <= after:
        check(connection, lease, now=now, after=after + 1)
        raise LedgerReplaced(_replaced_message(lease))
    return int(number)


def find(connection: Connection, study: str) -> RowDict | None:
    """Return the row of a study's latest lease, or None if the study never had a lease."""
    return fetch_one(connection, _FIND, {"of_study": study})


def busy_message(row: RowDict, *, age: float) -> str:
    """Return the error message for a lease that its holder renewed `age` seconds ago."""
    owner = Owner.from_json(row["owner"])
    since = datetime.fromtimestamp(row["since"], UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    holder = f"pid {owner.pid} on {owner.host} since {since} (last renewal {age:.0f} s ago)"
    if row["study"] == EXPORT:
        return f"results are being exported by {holder}; wait until it finishes"
    return f"study {row['study']!r} is driven by {holder}; wait for it, stop it, or pass another --study"


def _replaced_message(lease: Lease) -> str:
    who = "the export" if lease.study == EXPORT else f"study {lease.study!r}"
    return (
        f"{who} stopped: its ledger was replaced by another one or by an earlier copy during the run; "
        "check the ledger, then run the same command again to complete the missing results"
    )
