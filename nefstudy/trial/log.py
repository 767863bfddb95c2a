"""A trial's log, which is stored with its artifacts and limited in size."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import final

from nefstudy.errors import NefstudyError
from nefstudy.outside_text import printable, shortened, without_secrets
from nefstudy.paths import earlier_log_path, log_path
from nefstudy.storage import Storage

MAX_BYTES = 1024 * 1024  # of all attempts at one trial together; the older half is dropped first
MAX_RECORD = 16 * 1024  # characters of one message with its traceback
UPLOAD_S = 30.0  # between uploads to a root that is not a directory, which takes whole files only

_LINE = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


@contextmanager
def captured_log(root: str, key: str) -> Iterator[None]:
    """Write this process's log records to the trial's log: nefstudy's from INFO up, others from WARNING up."""
    handler = _handler(Storage.at(root), log_path(key))
    handler.setFormatter(_Formatter())
    root_logger, own = logging.getLogger(), logging.getLogger("nefstudy")
    level = own.level
    root_logger.addHandler(handler)
    own.setLevel(logging.INFO)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        own.setLevel(level)
        root_logger.removeHandler(handler)
        handler.close()


def read_log(root: str, key: str, *, lines: int | None = None) -> list[str]:
    """Return the last lines of a trial's log, by default all of them; empty if there is no log."""
    storage, path = Storage.at(root), log_path(key)
    parts = [storage.read(name) for name in (earlier_log_path(key), path) if storage.size(name) is not None]
    every_line = b"".join(parts).decode(errors="replace").splitlines()
    return every_line if lines is None else every_line[-lines:] if lines else []


class _Formatter(logging.Formatter):
    """A log formatter with UTC times that removes secrets and shortens long messages."""

    def __init__(self) -> None:
        super().__init__(_LINE)
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as formatted lines."""
        text = without_secrets(printable(shortened(super().format(record), 2 * MAX_RECORD)))
        return text if len(text) <= MAX_RECORD else f"{text[: MAX_RECORD // 2]}\n[...]\n{text[-MAX_RECORD // 2 :]}"


def _handler(storage: Storage, path: str) -> logging.Handler:
    if not storage.is_local:
        return _UploadHandler(storage, path)
    file = Path(storage.locate(path))
    file.parent.mkdir(parents=True, exist_ok=True)
    return RotatingFileHandler(file, maxBytes=MAX_BYTES // 2, backupCount=1, encoding="utf-8")


@final
class _UploadHandler(logging.Handler):
    """A log handler that appends new lines to the trial's log every UPLOAD_S seconds and on close."""

    def __init__(self, storage: Storage, path: str) -> None:
        super().__init__()
        self._storage = storage
        self._path = path
        self._unwritten = b""
        self._written = time.monotonic()

    def emit(self, record: logging.LogRecord) -> None:
        """Buffer a record, and drop the oldest lines beyond MAX_BYTES."""
        self._unwritten = _latest(self._unwritten + self.format(record).encode() + b"\n")
        if time.monotonic() - self._written > UPLOAD_S:
            self._write()

    def close(self) -> None:
        """Write the buffered lines."""
        self._write()
        super().close()

    def _write(self) -> None:
        """Append the buffered lines to the log file; a failed write does not fail the trial."""
        self._written = time.monotonic()
        if not self._unwritten:
            return
        with suppress(NefstudyError, OSError):
            existing = self._storage.read(self._path) if self._storage.size(self._path) is not None else b""
            self._storage.write(self._path, _latest(existing + self._unwritten))
            self._unwritten = b""


def _latest(text: bytes) -> bytes:
    """Return the text, or only the complete lines in its last MAX_BYTES / 2 bytes if it is longer than MAX_BYTES."""
    return text if len(text) <= MAX_BYTES else text[-MAX_BYTES // 2 :].partition(b"\n")[2]
