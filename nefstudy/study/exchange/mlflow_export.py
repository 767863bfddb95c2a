"""The driver's side of the export: a separate process that writes finished trials to MLflow during the study.

It is a separate process because MLflow needs tens of CPU-ms per run: in a thread it delayed every trial.
"""

import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from nefstudy.ledger import Ledger
from nefstudy.outside_text import safe_error, without_secrets
from nefstudy.study.locations import Locations

PROGRAM = "nefstudy.study.exchange.mlflow_export_process"
END = "end"
REPORT_EVERY_S = 10.0  # between reports of the remaining results while waiting for the end
LOOK_S = 0.5
PATIENCE_S = 20.0  # for the process to finish the run it is writing
MOST_ENDS = 6  # quick ends in a row after which the process is not started again
HEALTHY_S = 120.0  # a process that lived this long has not ended quickly
LONGEST_PAUSE_S = 60.0

log = logging.getLogger(__name__)


class Exporter:
    """A background export to MLflow, which never delays trials and finishes the remaining results at the end.

    Args:
        leave: returns whether to stop waiting at the end; what is not exported then stays in the ledger's outbox.
        on_wait: called periodically at the end with the number of results left.
        on_change: called when the process ends unexpectedly and when it is restarted, with the
            new state (`restarting`, `running` or `stopped`), how often it ended in a row, and why.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        locations: Locations,
        leave: Callable[[], bool],
        on_wait: Callable[[int], None],
        on_change: Callable[[dict[str, object]], object] = dict,
    ) -> None:
        self.left = 0
        self._ledger, self._locations = ledger, locations
        self._leave, self._on_wait, self._on_change = leave, on_wait, on_change
        self._process: subprocess.Popen[str] | None = None
        self._began = 0.0
        self._ends = 0
        self._again_at: float | None = None  # when the process is started again; None while it runs
        self._last_line = ""
        self._ending = False

    def __enter__(self) -> Self:
        if self._locations.mlflow:
            self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._locations.mlflow and error is None:
                with suppress(KeyboardInterrupt):  # a second Ctrl-C, after one that ended the study
                    self._finish()
        finally:
            if self._process is not None:
                _end(self._process)
        if error is None:
            self.left = self._ledger.outbox.size()

    def step(self) -> bool:
        """Restart the export process if it has ended unexpectedly; return whether it still has work.

        The pause before a start doubles with each quick end; after MOST_ENDS of them results wait in the ledger.
        """
        if self._process is not None:
            status = self._process.poll()
            if status is None:
                return True
            _end(self._process)
            self._process = None
            if self._ending and status == 0:
                return False
            self._ended(f"killed by signal {-status}" if status < 0 else self._last_line or f"exit code {status}")
        if self._again_at is not None and time.monotonic() >= self._again_at:
            self._start()
            self._on_change({"state": "running", "ends": self._ends})
        return self._process is not None or self._again_at is not None

    def _start(self) -> None:
        self._began, self._again_at = time.monotonic(), None
        try:
            self._process = process = subprocess.Popen(
                [sys.executable, "-m", PROGRAM],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,  # the driver handles a Ctrl-C at the terminal
            )
        except OSError as error:  # no memory or no process is left for it
            self._ended(error.strerror or str(error))
            return
        threading.Thread(target=self._relay, args=(process,), name="export's words", daemon=True).start()
        where = {"ledger": self._locations.ledger, "tracking_uri": self._locations.mlflow, "root": self._locations.root}
        _say(process, json.dumps(where))  # not as an argument: it may hold a password
        if self._ending:
            _say(process, END)

    def _ended(self, why: str) -> None:
        now = time.monotonic()
        self._ends = 1 if now - self._began >= HEALTHY_S else self._ends + 1
        if self._ends < MOST_ENDS:
            pause_s = min(2.0 ** (self._ends - 1), LONGEST_PAUSE_S)
            self._again_at = now + pause_s
            if self._ends == 1:
                log.warning("the export to MLflow ended (%s); restarting it", why)
            self._on_change({"state": "restarting", "ends": self._ends, "why": why})
        else:
            log.warning(
                "the export to MLflow ended %d times in a row (%s); results wait in the ledger: nefstudy export mlflow",
                self._ends,
                why,
            )
            self._on_change({"state": "stopped", "ends": self._ends, "why": why})

    def _finish(self) -> None:
        """Wait until the outbox is empty, MLflow fails, or the user interrupts."""
        self._ending = True
        if self._process is not None:
            _say(self._process, END)
        left_before = self._leave()
        waited = 0.0
        while self.step():
            if self._process is None:
                time.sleep(LOOK_S)
            else:
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(LOOK_S)
            waited += LOOK_S
            if self._leave() and not left_before:
                return
            if waited % REPORT_EVERY_S == 0:
                self._on_wait(self._ledger.outbox.size())

    def _relay(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        with process.stderr as lines:
            for line in lines:
                self._last_line = safe_error(line.strip()) or self._last_line
                log.warning("%s", without_secrets(line.rstrip()))


def _say(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # it has ended: the next step finds out
        process.stdin.write(line + "\n")
        process.stdin.flush()


def _end(process: subprocess.Popen[str]) -> None:
    """Close the export process's input, so that the process ends after the run that it is writing."""
    assert process.stdin is not None
    try:
        process.stdin.close()
    except BrokenPipeError:
        log.info("the export ended by itself")
    try:
        process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
