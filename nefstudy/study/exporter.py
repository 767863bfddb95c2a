"""The thread that carries finished trials to MLflow while the study runs; MLflow down delays nothing."""

import threading
from types import TracebackType
from typing import Self

from nefstudy.ledger import Ledger

PERIOD_S = 5.0
FIRST_AFTER_S = 15.0  # importing MLflow costs seconds of CPU; the first trials need them more


class Exporter:
    """Drains the ledger's outbox in the background, and once more at the end.

    Args:
        tracking_uri: MLflow's; empty exports nothing, what waits stays in the outbox.
    """

    def __init__(self, ledger: Ledger, *, tracking_uri: str, root: str) -> None:
        self._ledger = ledger
        self._uri = tracking_uri
        self._root = root
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="mlflow-export", daemon=True)
        self.left = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if error is None and self._ledger.outbox_size():
            self._drain()

    def _work(self) -> None:
        wait = FIRST_AFTER_S
        while not self._stop.wait(wait):
            if self._ledger.outbox_size():
                self._drain()
            wait = PERIOD_S

    def _drain(self) -> None:
        if not self._uri:
            self.left = self._ledger.outbox_size()
            return
        from nefstudy.tracking import drain

        self.left = drain(self._ledger, tracking_uri=self._uri, root=self._root)
