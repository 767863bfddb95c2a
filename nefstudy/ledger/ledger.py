"""The ledger: one object, every method one transaction; what each does is told in the module it calls."""

import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar, final

from sqlalchemy import Connection

from nefstudy.config import TrialConfig
from nefstudy.errors import BadLedger
from nefstudy.ledger import attempts, commands, events, neural_datasets, outbox, setbacks, studies
from nefstudy.ledger import lease as leases
from nefstudy.ledger.address import shown_address
from nefstudy.ledger.attempts import Claim
from nefstudy.ledger.database import Database
from nefstudy.ledger.lease import Lease, Silence, Wish
from nefstudy.ledger.outcome import Curve, Number, Outcome
from nefstudy.ledger.owner import Owner
from nefstudy.ledger.reading import Reading
from nefstudy.ledger.rows import CommandRow, NeuralDatasetRow, OutboxRow, StudyRow, TrialState

T = TypeVar("T")
_ENDED = (TrialState.COMPLETE, TrialState.FAILED, TrialState.PRUNED)


@final
class Ledger(Reading):
    """The one record of what happened, on SQLite or PostgreSQL. Threads may share it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._beats: dict[str, int] = {}  # the last beat of each lease that was written here, by its nonce
        self._lock = threading.Lock()

    @classmethod
    def open(
        cls, url: str, *, read_only: bool = False, patience_s: float = 60.0, clock: Callable[[], float] = time.time
    ) -> "Ledger":
        """The ledger at a path or database URL, created or migrated first unless `read_only`.

        Args:
            patience_s: how long a method retries while the database is locked or away.

        Raises:
            NoLedger: missing (read-only). OtherVersion: newer. BadLedger: not a ledger, or not reachable.
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
        """The ledger that is at an address at the time of each call; it is never made or migrated here.

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

    # Studies

    def put_study(self, study: str, plan: Mapping[str, Any], *, planned: Mapping[tuple[str, str], int]) -> StudyRow:
        """Create a study or continue it: plan keys are merged in, planned counts set per (phase, cell)."""
        return self._write(lambda c, now: studies.put_study(c, study, plan=plan, planned=planned, now=now))

    def set_planned(self, study: str, phase: str, cell: str, *, planned: int, lease: Lease | None = None) -> None:
        """Record how many trials of a cell are planned."""
        self._write(lambda c, _: studies.set_planned(c, study, phase=phase, cell=cell, planned=planned), lease=lease)

    def set_state(self, study: str, state: str, *, lease: Lease | None = None) -> None:
        """Record what the study's driver is doing."""
        self._write(lambda c, now: studies.set_state(c, study, state=state, now=now), lease=lease)

    # The driver's lease

    def acquire(self, study: str, owner: Owner, *, lease_s: float = 60.0) -> Lease:
        """The right to drive a study; StudyBusy names who has it, BadConfig says that there is no such study."""
        return self._claim(Wish(study, owner, lease_s=lease_s, nonce=uuid.uuid4().hex))

    def acquire_export(self, owner: Owner, *, lease_s: float = 60.0) -> Lease:
        """The right to empty the outbox; StudyBusy names who does that already."""
        return self._claim(Wish(leases.EXPORT, owner, lease_s=lease_s, nonce=uuid.uuid4().hex))

    def _claim(self, wish: Wish) -> Lease:
        found = self._try_claim(wish, watched=None)
        while isinstance(found, Silence):
            time.sleep(found.watch_s)
            found = self._try_claim(wish, watched=found)
        return found

    def _try_claim(self, wish: Wish, *, watched: Silence | None) -> Lease | Silence:
        return self._database.write(lambda c: leases.claim(c, wish, now=self._database.now(c), watched=watched))

    def renew(self, lease: Lease) -> None:
        """Record that the holder lives; StudyBusy when the lease was lost, LedgerReplaced in an earlier copy."""
        self._write(lambda c, _: leases.renew(c, lease, now=self._database.now(c)), lease=lease)

    def check_held(self, *held: Lease) -> None:
        """Check that leases are held, before an act outside the database; raise as `renew` does."""
        after = {lease.nonce: self._beats.get(lease.nonce, 0) for lease in held}

        def check(connection: Connection) -> None:
            for lease in held:
                leases.check(connection, lease, now=self._database.now(connection), after=after[lease.nonce])

        self._database.read(check)

    def release(self, lease: Lease, *, state: str = "finished") -> None:
        """Give a lease up and leave the study in `state`."""
        self._database.write(lambda c: leases.release(c, lease, state=state, now=self._database.now(c)))

    # A trial's life

    def request(self, study: str, phase: str, *, trial: TrialConfig, lease: Lease | None = None) -> int:
        """The token of a new attempt at a trial; StaleAttempt when the trial is COMPLETE."""
        return self._write(lambda c, now: attempts.request(c, study, phase=phase, trial=trial, now=now), lease=lease)

    def claim(self, study: str, phase: str, *, trial: TrialConfig, lease: Lease | None = None) -> int | None:
        """The token of a new attempt at a trial, None when it is COMPLETE now: `reuse` and `request` at once."""
        return self._write(lambda c, now: attempts.claim(c, study, phase=phase, trial=trial, now=now), lease=lease)

    def started(self, study: str, phase: str, *, key: str, token: int, lease: Lease | None = None) -> None:
        """Mark an attempt as running."""
        self._write(lambda c, now: attempts.start(c, Claim(study, phase, key, token), now=now), lease=lease)

    def complete(
        self,
        study: str,
        phase: str,
        *,
        key: str,
        token: int,
        metrics: Mapping[str, Number],
        curves: Mapping[str, Curve] | None = None,
        artifacts: Mapping[str, str] | None = None,
        fingerprint: Mapping[str, str] | None = None,
        lease: Lease | None = None,
    ) -> bool:
        """Commit a result for ever; False when this token had committed it already, StaleAttempt for any other."""
        outcome = Outcome(TrialState.COMPLETE, metrics, curves or {}, artifacts or {}, fingerprint or {})
        return self._end(Claim(study, phase, key, token), outcome=outcome, lease=lease)

    def prune(
        self,
        study: str,
        phase: str,
        *,
        key: str,
        token: int,
        metrics: Mapping[str, Number],
        curves: Mapping[str, Curve] | None = None,
        fingerprint: Mapping[str, str] | None = None,
        lease: Lease | None = None,
    ) -> bool:
        """Commit what a pruned trial measured before it was stopped."""
        outcome = Outcome(TrialState.PRUNED, metrics, curves or {}, {}, fingerprint or {})
        return self._end(Claim(study, phase, key, token), outcome=outcome, lease=lease)

    def fail(
        self, study: str, phase: str, *, key: str, token: int, cause: str, error: str, lease: Lease | None = None
    ) -> bool:
        """Commit that an attempt failed, and why."""
        outcome = Outcome(TrialState.FAILED, cause=cause, error=error)
        return self._end(Claim(study, phase, key, token), outcome=outcome, lease=lease)

    def put_back(
        self, study: str, phase: str, *, key: str, token: int, cause: str, error: str, lease: Lease | None = None
    ) -> None:
        """Close a failed attempt as INTERRUPTED, to be tried again; told as an event of kind `retried`."""
        claim = Claim(study, phase, key, token)
        self._write(lambda c, now: setbacks.put_back(c, claim, cause=cause, error=error, now=now), lease=lease)

    def stop_cell(self, study: str, phase: str, *, cell: str, reason: str | None, lease: Lease | None = None) -> None:
        """Mark a cell as left alone, with the reason; None takes the mark away."""
        self._write(
            lambda c, now: setbacks.stop_cell(c, study, phase=phase, cell=cell, reason=reason, now=now), lease=lease
        )

    def _end(self, claim: Claim, *, outcome: Outcome, lease: Lease | None) -> bool:
        return self._write(lambda c, now: attempts.end(c, claim, outcome=outcome, now=now), lease=lease)

    def interrupt(self, study: str, *, lease: Lease | None = None) -> int:
        """How many open attempts were closed as INTERRUPTED; their tokens are stale from then on."""
        return self._write(lambda c, now: attempts.interrupt(c, study, now=now), lease=lease)

    def reuse(self, study: str, phase: str, *, trial: TrialConfig, lease: Lease | None = None) -> bool:
        """Whether the trial is COMPLETE now, by itself or copied at no cost from any study or phase."""
        return self._write(lambda c, now: attempts.reuse(c, study, phase=phase, trial=trial, now=now), lease=lease)

    def put_neural_dataset(self, row: NeuralDatasetRow, *, lease: Lease | None = None) -> None:
        """Record where a neural dataset is and which rungs it has."""
        self._write(lambda c, now: neural_datasets.put(c, row, now=now), lease=lease)

    def begin_drop(self, digest: str, *, held: Sequence[Lease] = ()) -> bool:
        """Mark a neural dataset as being dropped; False while a trial in flight may read it."""
        return self._write(lambda c, now: neural_datasets.begin_drop(c, digest, now=now), lease=held)

    def end_drop(self, digest: str, *, held: Sequence[Lease] = ()) -> None:
        """Mark a neural dataset as dropped, unless it was fitted again in the meantime."""
        self._write(lambda c, _: neural_datasets.end_drop(c, digest), lease=held)

    # Commands, events, outbox

    def append_command(
        self, study: str, verb: str, *, body: Mapping[str, Any] | None = None, idempotency_key: str | None = None
    ) -> CommandRow:
        """Ask something of a study's driver; the same idempotency key again gives the first command."""
        key = idempotency_key or uuid.uuid4().hex
        return self._write(
            lambda c, now: commands.append(c, study, verb=verb, body=body or {}, idempotency_key=key, now=now)
        )

    def settle_command(self, command: int, *, outcome: str = "done", lease: Lease | None = None) -> None:
        """Record how a command ended."""
        self._write(lambda c, now: commands.settle(c, command, outcome=outcome, now=now), lease=lease)

    def append_event(
        self,
        study: str,
        kind: str,
        *,
        phase: str | None = None,
        key: str | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> int:
        """The number of a new event, higher than every event committed before it."""
        return self._write(lambda c, now: events.append(c, study, kind=kind, phase=phase, key=key, data=data, now=now))

    def take(self, limit: int = 100, *, skip: Sequence[int] = (), lease: Lease | None = None) -> list[OutboxRow]:
        """The oldest results not exported yet, counted as tried; `tries` tells how often each was before."""
        return self._write(lambda c, _: outbox.take(c, limit=limit, skip=skip), lease=lease)

    def mark(self, entries: Sequence[OutboxRow], *, lease: Lease | None = None) -> None:
        """Record that results are exported; one that has changed since stays in the outbox."""
        self._write(lambda c, _: outbox.mark(c, entries), lease=lease)

    def mark_failed(self, entry: OutboxRow, *, error: str, lease: Lease | None = None) -> None:
        """Record why an export failed."""
        self._write(lambda c, _: outbox.mark_failed(c, entry, error=error), lease=lease)

    def refill_outbox(self, study: str | None = None) -> int:
        """How many ended trials were put into the outbox again, to be exported anew."""
        return self._write(lambda c, _: outbox.refill(c, study=study, states=_ENDED))

    def retry_outbox(self) -> int:
        """How many results whose export was given up are to be tried again."""
        return self._write(lambda c, _: outbox.retry(c))

    def _now(self, connection: Connection) -> float:
        return self._database.now(connection)

    def _read(self, act: Callable[[Connection], T]) -> T:
        return self._database.read(act)

    def _write(self, act: Callable[[Connection, float], T], *, lease: Lease | Sequence[Lease] | None = None) -> T:
        held = () if lease is None else (lease,) if isinstance(lease, Lease) else tuple(lease)
        after = {one.nonce: self._beats.get(one.nonce, 0) for one in held}

        def guarded(connection: Connection) -> tuple[dict[str, int], T]:
            now = self._database.now(connection) if held else 0.0
            beats = {one.nonce: leases.beat(connection, one, now=now, after=after[one.nonce]) for one in held}
            return beats, act(connection, self._database.clock())

        beats, found = self._database.write(guarded)
        with self._lock:
            self._beats |= {nonce: max(beat, self._beats.get(nonce, 0)) for nonce, beat in beats.items()}
        return found
