"""Text that a process prints by itself, without secrets: log records, warnings, tracebacks of uncaught errors."""

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
    """Remove secrets from whatever this process logs, warns of or fails with, libraries included."""
    make = logging.getLogRecordFactory()
    if isinstance(make, _Records):
        return
    logging.setLogRecordFactory(_Records(make))
    show = warnings.formatwarning
    warnings.formatwarning = lambda *given, **more: without_secrets(show(*given, **more))
    sys.excepthook = print_error
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = _print_thread_error


def print_error(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print an uncaught error's traceback to stderr."""
    sys.stderr.write(without_secrets("".join(traceback.format_exception(kind, error, trace))))


def _print_thread_error(given: threading.ExceptHookArgs) -> None:
    if given.exc_value is None or given.exc_type is SystemExit:
        return
    name = given.thread.name if given.thread is not None else "unknown"
    sys.stderr.write(f"Exception in thread {name}:\n")
    print_error(given.exc_type, given.exc_value, given.exc_traceback)


@final
@dataclass(frozen=True)
class _Records:
    """A factory of log records whose message and traceback hold no secrets, whatever handler formats them."""

    make: Callable[..., logging.LogRecord]

    def __call__(self, *given: Any, **more: Any) -> logging.LogRecord:
        record = self.make(*given, **more)
        try:
            message = record.getMessage()
        except (TypeError, ValueError, KeyError):  # the handler reports a format that does not fit, with its arguments
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
