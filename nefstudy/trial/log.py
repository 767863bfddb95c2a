"""What a trial said: its own log lines, kept beside its pictures and bounded in size."""

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

MAX_BYTES = 1024 * 1024  # of one trial, all its attempts together: the older half goes first
MAX_RECORD = 16 * 1024  # characters of one message with its traceback
UPLOAD_S = 30.0  # a root that is no directory takes whole files only: every so often, and at the end

_LINE = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


@contextmanager
def kept_log(root: str, key: str) -> Iterator[None]:
    """Keeps what is logged in this process while it runs: nefstudy from INFO on, others and warnings from WARNING."""
    handler = _handler(Storage.at(root), log_path(key))
    handler.setFormatter(_Formatter())
    everything, own = logging.getLogger(), logging.getLogger("nefstudy")
    level = own.level
    everything.addHandler(handler)
    own.setLevel(logging.INFO)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        own.setLevel(level)
        everything.removeHandler(handler)
        handler.close()


def read_log(root: str, key: str, *, lines: int | None = None) -> list[str]:
    """The last lines of a trial's log, all that is kept by default; none where there is no log."""
    storage, path = Storage.at(root), log_path(key)
    parts = [storage.read(name) for name in (earlier_log_path(key), path) if storage.size(name) is not None]
    said = b"".join(parts).decode(errors="replace").splitlines()
    return said if lines is None else said[-lines:] if lines else []


class _Formatter(logging.Formatter):
    """Lines with UTC times and without secrets; a message of no bounds is cut."""

    def __init__(self) -> None:
        super().__init__(_LINE)
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        """The record's lines."""
        text = without_secrets(printable(shortened(super().format(record), 2 * MAX_RECORD)))
        return text if len(text) <= MAX_RECORD else f"{text[: MAX_RECORD // 2]}\n[...]\n{text[-MAX_RECORD // 2 :]}"


def _handler(storage: Storage, path: str) -> logging.Handler:
    if not storage.is_local:
        return _Uploaded(storage, path)
    file = Path(storage.locate(path))
    file.parent.mkdir(parents=True, exist_ok=True)
    return RotatingFileHandler(file, maxBytes=MAX_BYTES // 2, backupCount=1, encoding="utf-8")


@final
class _Uploaded(logging.Handler):
    """A log whose new lines join the file every half a minute and at the end: a worker and its actor write one."""

    def __init__(self, storage: Storage, path: str) -> None:
        super().__init__()
        self._storage = storage
        self._path = path
        self._unwritten = b""
        self._written = time.monotonic()

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record; what is too old to be kept goes line by line."""
        self._unwritten = _latest(self._unwritten + self.format(record).encode() + b"\n")
        if time.monotonic() - self._written > UPLOAD_S:
            self._write()

    def close(self) -> None:
        """Write what there is."""
        self._write()
        super().close()

    def _write(self) -> None:
        """Add what is new to what is there; a log that cannot be written is no reason for a trial to fail."""
        self._written = time.monotonic()
        if not self._unwritten:
            return
        with suppress(NefstudyError, OSError):
            there = self._storage.read(self._path) if self._storage.size(self._path) is not None else b""
            self._storage.write(self._path, _latest(there + self._unwritten))
            self._unwritten = b""


def _latest(text: bytes) -> bytes:
    """The text, or whole lines of its latest half when it is too long."""
    return text if len(text) <= MAX_BYTES else text[-MAX_BYTES // 2 :].partition(b"\n")[2]
