"""Progress as bytes, kept for as long as it is true: what makes many readers cost as much as one."""

import threading
import time
from dataclasses import dataclass

from starlette.exceptions import HTTPException

from nefstudy.ledger import Ledger
from nefstudy.service.answers import encode
from nefstudy.service.progress import progress

FRESH_S = 0.5  # within this no reader touches the ledger
AGE_S = 5.0  # the pace changes with time alone: computed anew after this even without an event


@dataclass
class _Snapshot:
    body: bytes
    seq: int
    computed: float
    checked: float


class Snapshots:
    """The latest progress of each study, computed by one thread at a time."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()
        self._kept: dict[str, _Snapshot] = {}

    def fresh(self, study: str) -> bytes | None:
        """The progress computed or confirmed within the last half second, else None."""
        kept = self._kept.get(study)
        return kept.body if kept is not None and time.monotonic() - kept.checked < FRESH_S else None

    def take(self, study: str) -> bytes:
        """The progress as it stands; 404 for an unknown study."""
        with self._lock:
            body = self.fresh(study)
            if body is not None:
                return body
            if self._ledger.study(study) is None:
                self._kept.pop(study, None)
                raise HTTPException(404, f"no study {study!r} in this ledger; GET /v1/studies lists them")
            now = time.monotonic()
            seq = self._ledger.last_seq(study)
            kept = self._kept.get(study)
            if kept is None or kept.seq != seq or now - kept.computed > AGE_S:
                kept = _Snapshot(encode(progress(self._ledger, study)), seq, now, now)
                self._kept[study] = kept
            kept.checked = now
            return kept.body
