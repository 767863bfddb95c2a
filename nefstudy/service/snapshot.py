"""Answers kept for as long as they are true: what makes many readers cost as much as one."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from nefstudy.ledger import Ledger

FRESH_S = 0.5  # within this no reader touches the ledger
SHARE = 10  # an answer that took a second is kept for ten: live figures take at most a tenth of a core
WAIT_S = 1.0  # a caller gets what takes longer by asking again
MAX_JOBS = 8
MAX_BYTES = 32 * 1024 * 1024
MAX_KEPT = 1_000  # answers: short ones to ever new questions would fill the memory by their names and locks


@dataclass
class _Kept:
    lock: threading.Lock = field(default_factory=threading.Lock)
    body: bytes = b""
    state: tuple[int, int] = (-1, -1)  # number of the study's last event, and in which ledger
    computed: float = 0.0
    fresh_until: float = 0.0


class Snapshots:
    """The latest answers about each study by name; each is computed by one thread at a time."""

    def __init__(self, ledger: Ledger, *, max_bytes: int = MAX_BYTES) -> None:
        self._ledger = ledger
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, str], _Kept] = {}
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="figures")
        self._jobs: dict[tuple[str, str], Future[bytes]] = {}

    def fresh(self, study: str, name: str) -> bytes | None:
        """The answer if it was computed or confirmed a moment ago, else None."""
        kept = self._kept.get((study, name))
        return kept.body if kept is not None and time.monotonic() < kept.fresh_until else None

    def take(self, study: str, name: str, compute: Callable[[], bytes], *, age_s: float | None = None) -> bytes:
        """The answer as it stands after the study's latest event.

        Args:
            name: tells the study's answers apart, with everything they depend on.
            compute: makes the answer; what it raises is raised, and nothing is kept.
            age_s: for answers that change with time alone, how old they may become.
        """
        with self._lock:
            kept = self._kept.pop((study, name), None) or _Kept()
            self._kept[study, name] = kept  # the latest asked for is last
        with kept.lock:
            now = time.monotonic()
            if now < kept.fresh_until:
                return kept.body
            try:
                state = (self._ledger.events.last_seq(study), self._ledger.edition)
                aged = age_s is not None and now - kept.computed > age_s
                if kept.state != state or aged:
                    kept.body, kept.state, kept.computed = compute(), state, now
            except Exception:
                self._forget(study, name)
                raise
            after = time.monotonic()
            kept.fresh_until = after + max(FRESH_S, SHARE * (after - now))
        self._make_room()
        return kept.body

    def soon(self, study: str, name: str, compute: Callable[[], bytes]) -> bytes | None:
        """What `take` gives, if it is there within WAIT_S; else None, and it is computed aside for who asks again."""
        with self._lock:
            job = self._jobs.get((study, name))
            if job is None or job.done():
                self._jobs = {key: other for key, other in self._jobs.items() if not other.done()}
                if len(self._jobs) >= MAX_JOBS:
                    return None
                job = self._jobs[study, name] = self._pool.submit(self.take, study, name, compute)
        try:
            return job.result(timeout=WAIT_S)
        except TimeoutError:
            return None

    def _forget(self, study: str, name: str) -> None:
        with self._lock:
            self._kept.pop((study, name), None)

    def _make_room(self) -> None:
        with self._lock:
            size = sum(len(kept.body) for kept in self._kept.values())
            for name in list(self._kept)[:-1]:
                if size <= self._max_bytes and len(self._kept) <= MAX_KEPT:
                    break
                size -= len(self._kept.pop(name).body)
