"""Removal of secrets from a process's own output: log records, warnings and tracebacks of uncaught errors."""

import logging
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, final

from nefstudy.outside_text import without_secrets

_FORMATTER = logging.Formatter()


def hide_secrets() -> None:
    """Remove secrets from this process's log records, warnings and tracebacks, including those of libraries."""
    make = logging.getLogRecordFactory()
    if isinstance(make, _RecordFactory):
        return
    logging.setLogRecordFactory(_RecordFactory(make))
    show = warnings.formatwarning
    warnings.formatwarning = lambda *given, **more: without_secrets(show(*given, **more))
    sys.excepthook = print_traceback
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = _print_thread_error


def print_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print an uncaught error's traceback to stderr."""
    sys.stderr.write(without_secrets("".join(traceback.format_exception(kind, error, trace))))


def _print_thread_error(given: threading.ExceptHookArgs) -> None:
    if given.exc_value is None or given.exc_type is SystemExit:
        return
    name = given.thread.name if given.thread is not None else "unknown"
    sys.stderr.write(f"Exception in thread {name}:\n")
    print_traceback(given.exc_type, given.exc_value, given.exc_traceback)


@final
@dataclass(frozen=True)
class _RecordFactory:
    """A log record factory that removes secrets from messages and tracebacks before any handler sees them."""

    make: Callable[..., logging.LogRecord]

    def __call__(self, *given: Any, **more: Any) -> logging.LogRecord:
        record = self.make(*given, **more)
        try:
            message = record.getMessage()
        except (TypeError, ValueError, KeyError):  # bad format string: the handler reports it with its arguments
            record.msg, record.args = without_secrets(f"{record.msg} {record.args}"), ()
            return record
        shown = without_secrets(message)
        if shown != message:
            record.msg, record.args = shown, ()
        if record.exc_info and record.exc_info[0] is not None:
            record.exc_text = without_secrets(_FORMATTER.formatException(record.exc_info))
        if record.stack_info:
            record.stack_info = without_secrets(record.stack_info)
        return record
