"""A cache of responses, so that additional clients cost little; a response is valid until its study's next event."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from nefstudy.ledger import Ledger

FRESH_S = 0.5  # an entry this young is served without reading the ledger
FRESH_FACTOR = 10  # an entry that took 1 s to compute stays fresh for 10 s: live figures use at most a tenth of a core
WAIT_S = 1.0  # a request waits this long for a result; for a slower one, the client repeats the request
MAX_JOBS = 8
MAX_BYTES = 32 * 1024 * 1024
MAX_ENTRIES = 1_000  # bounds the memory that names and locks of many small entries take


@dataclass
class _Entry:
    lock: threading.Lock = field(default_factory=threading.Lock)
    body: bytes = b""
    state: tuple[int, int] = (-1, -1)  # number of the study's last event, and the ledger's generation
    computed: float = 0.0
    fresh_until: float = 0.0


class Snapshots:
    """The latest response bodies by study and name; only one thread at a time computes the same body."""

    def __init__(self, ledger: Ledger, *, max_bytes: int = MAX_BYTES) -> None:
        self._ledger = ledger
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._entries: dict[tuple[str, str], _Entry] = {}
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="figures")
        self._jobs: dict[tuple[str, str], Future[bytes]] = {}

    def fresh(self, study: str, name: str) -> bytes | None:
        """Return the cached body if it was computed or validated a moment ago, otherwise None."""
        entry = self._entries.get((study, name))
        return entry.body if entry is not None and time.monotonic() < entry.fresh_until else None

    def take(self, study: str, name: str, compute: Callable[[], bytes], *, age_s: float | None = None) -> bytes:
        """Return the cached body, computing it again if the study has had a new event.

        Args:
            name: identifies the body within the study; it must include everything the body depends on.
            compute: returns the body; an exception propagates, and nothing is cached.
            age_s: maximum age of a body that also changes with time alone.
        """
        with self._lock:
            entry = self._entries.pop((study, name), None) or _Entry()
            self._entries[study, name] = entry  # most recently used last
        with entry.lock:
            now = time.monotonic()
            if now < entry.fresh_until:
                return entry.body
            try:
                state = (self._ledger.events.last_seq(study), self._ledger.generation)
                expired = age_s is not None and now - entry.computed > age_s
                if entry.state != state or expired:
                    entry.body, entry.state, entry.computed = compute(), state, now
            except Exception:
                self._forget(study, name)
                raise
            after = time.monotonic()
            entry.fresh_until = after + max(FRESH_S, FRESH_FACTOR * (after - now))
        self._evict()
        return entry.body

    def take_or_defer(self, study: str, name: str, compute: Callable[[], bytes]) -> bytes | None:
        """Return `take`'s result, or None if the result is not ready within WAIT_S.

        The computation then continues in the background.
        """
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
            self._entries.pop((study, name), None)

    def _evict(self) -> None:
        with self._lock:
            size = sum(len(entry.body) for entry in self._entries.values())
            for name in list(self._entries)[:-1]:
                if size <= self._max_bytes and len(self._entries) <= MAX_ENTRIES:
                    break
                size -= len(self._entries.pop(name).body)
