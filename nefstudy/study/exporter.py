"""The driver's side of the export: a process that carries finished trials to MLflow while the study runs.

A process of its own, because writing a run takes MLflow tens of CPU-ms: in a thread it held up every trial.
"""

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from nefstudy.ledger import Ledger
from nefstudy.outside_text import without_secrets
from nefstudy.study.place import Place

PROGRAM = "nefstudy.study.export_process"
END = "end"
TOLD_EVERY_S = 10.0  # how often somebody who waits for the end hears how much is left
PATIENCE_S = 20.0  # for the process to finish the run it is writing

log = logging.getLogger(__name__)


class Exporter:
    """Exports in the background, and what is left at the end; MLflow down or slow delays no trial.

    Args:
        leave: whether to stop waiting at the end; what is not exported then stays in the ledger's outbox.
        on_wait: told now and then at the end how many results are left.
    """

    def __init__(
        self, ledger: Ledger, *, place: Place, leave: Callable[[], bool], on_wait: Callable[[int], None]
    ) -> None:
        self.left = 0
        self._ledger, self._place = ledger, place
        self._leave, self._on_wait = leave, on_wait
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        if self._place.mlflow:
            self._process = self._started()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._process is not None and error is None:
                self._finish(self._process)
        finally:
            if self._process is not None:
                _end(self._process)
        if error is None:
            self.left = self._ledger.outbox_size()

    def _started(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a Ctrl-C at the terminal is the driver's to answer
        )
        threading.Thread(target=_relay, args=(process,), name="export's words", daemon=True).start()
        where = {"ledger": self._place.ledger, "tracking_uri": self._place.mlflow, "root": self._place.root}
        _say(process, json.dumps(where))  # not as an argument: it may hold a password
        return process

    def _finish(self, process: subprocess.Popen[str]) -> None:
        """Wait until nothing is left, MLflow fails, or somebody would rather leave."""
        _say(process, END)
        with suppress(KeyboardInterrupt):  # a second Ctrl-C, after one that ended the study
            self._wait(process)

    def _wait(self, process: subprocess.Popen[str]) -> None:
        left_before = self._leave()
        waited = 0.0
        while True:
            try:
                process.wait(0.5)
            except subprocess.TimeoutExpired:
                waited += 0.5
            else:
                return
            if self._leave() and not left_before:
                return
            if waited % TOLD_EVERY_S == 0:
                self._on_wait(self._ledger.outbox_size())


def _say(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    try:
        process.stdin.write(line + "\n")
        process.stdin.flush()
    except BrokenPipeError:
        log.warning("the export has ended early; results wait in the ledger: nefstudy export")


def _end(process: subprocess.Popen[str]) -> None:
    """Close the process's input, which ends it after the run it is writing."""
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


def _relay(process: subprocess.Popen[str]) -> None:
    assert process.stderr is not None
    with process.stderr as lines:
        for line in lines:
            log.warning("%s", without_secrets(line.rstrip()))
