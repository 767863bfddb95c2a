"""The causes of trial failures, used to choose the failure rule, and one-line descriptions of the errors."""

import errno
import re
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import torch
from ray import exceptions as lost
from ray.train.v2._internal import exceptions as train

from nefstudy.errors import BadInput, BadRoot, NefstudyError, TrialFailed
from nefstudy.outside_text import ERROR_LENGTH, printable, safe_error, shortened, without_secrets

# The causes that a trial's process may report, each with a rule in study/driver/rules.py. The rules for `timeout`,
# `too_big` and `withdrawn` are missing here: only the driver decides these, so from a trial they count as `bug`.
KNOWN = ("diverged", "bad_data", "oom", "disk", "machine", "worker_lost", "preempted", "bug")
LINE_LENGTH = 1_000  # the most characters of an error's line

FULL_DISK_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NAMES = (
    "EIO ESTALE EROFS EMFILE ENFILE EAGAIN EINTR EBUSY ETXTBSY ENOLCK ENXIO ENODEV ENOMEDIUM EACCES EPERM EPIPE "
    "ETIMEDOUT ECONNRESET ECONNREFUSED ECONNABORTED ENOTCONN ESHUTDOWN EHOSTDOWN EHOSTUNREACH ENETDOWN ENETUNREACH "
    "ENETRESET ENOBUFS EADDRINUSE EADDRNOTAVAIL EREMOTEIO EREMOTE ECOMM EPROTO EBADMSG EUCLEAN EKEYEXPIRED ENOKEY"
)
TRANSIENT_ERRNOS = tuple(getattr(errno, name) for name in _NAMES.split() if hasattr(errno, name))
LOST_WORKER_ERRORS = (
    lost.RayActorError,
    lost.WorkerCrashedError,
    lost.NodeDiedError,
    lost.LocalRayletDiedError,
    lost.ObjectLostError,
    train.WorkerHealthCheckFailedError,
    train.WorkerHealthCheckTimeoutError,
)
TRANSIENT_ERRORS = (
    ConnectionError,
    BlockingIOError,
    TimeoutError,
    lost.RaySystemError,
    lost.RuntimeEnvSetupError,
    lost.ObjectStoreFullError,
    lost.RpcError,
    lost.PendingCallsLimitExceeded,
    lost.PlasmaObjectNotAvailable,
    lost.TaskPlacementGroupRemoved,
    lost.ActorPlacementGroupRemoved,
    lost.TaskUnschedulableError,
    lost.ActorUnschedulableError,
    train.WorkerGroupStartupTimeoutError,
    torch.distributed.DistError,
)

# Messages of errors without an errno: of pyarrow's remote filesystems, of GPU libraries, of wrapped OSErrors.
NO_MEMORY = re.compile(
    r"DefaultCPUAllocator|out of memory|bad_alloc|not enough memory|(?:cannot|unable to|failed to) allocate memory"
    r"|STATUS_(?:\w+_)?ALLOC(?:ATION)?_FAILED|CUFFT_ALLOC_FAILED",
    re.IGNORECASE,
)
NO_SPACE = re.compile(r"no space left on device|disk quota exceeded|database or disk is full", re.IGNORECASE)
GPU_BUG = re.compile(
    r"device-side assert|invalid (?:device )?(?:argument|configuration|function|ordinal|symbol|kernel)|no kernel image"
    r"|(?:INVALID_VALUE|NOT_SUPPORTED|BAD_PARAM|ARCH_MISMATCH)"
)
TRANSIENT_TEXT = re.compile(
    r"can't start new thread|\bCUDA (?:driver )?error|\bCU\w+_STATUS_|\bcuDNN error|\bNCCL error|\bunhandled cuda error"
    r"|AWS Error (?!NO_SUCH|RESOURCE_NOT_FOUND)|curlCode|SLOW_DOWN|DEADLINE_EXCEEDED|\bUNAVAILABLE\b"
    r"|input/output error|stale (?:nfs )?file handle|read-only file system|too many open files|device or resource busy"
    r"|resource temporarily unavailable|timed out|timeout (?:was )?(?:reached|expired)|broken pipe"
    r"|connection (?:was )?(?:reset|refused|aborted|closed)|network is unreachable|no route to host|host is down"
    r"|transport endpoint is not connected|name resolution|could(?:n't| not) (?:resolve|connect)",
    re.IGNORECASE,
)
ERRNO_TEXT = re.compile(r"\berrno\W{1,3}(\d{1,4})\b", re.IGNORECASE)
CODE_ERRORS = (LookupError, TypeError, AttributeError, NameError, AssertionError, ValueError, NefstudyError)
"""Errors of code or data, whose messages are not evidence about the machine."""


def _errnos(error: BaseException) -> set[int]:
    """Return the errno of an OSError, or the errnos named in the message of any other error."""
    own = getattr(error, "errno", None) if isinstance(error, OSError) else None
    return {own} if isinstance(own, int) else {int(digits) for digits in ERRNO_TEXT.findall(_text(error))}


def _matches(error: BaseException, pattern: re.Pattern[str]) -> bool:
    return not isinstance(error, CODE_ERRORS) and pattern.search(_text(error)) is not None


def _has_errno(error: BaseException, numbers: tuple[int, ...]) -> bool:
    return not isinstance(error, CODE_ERRORS) and not _errnos(error).isdisjoint(numbers)


CAUSES: tuple[tuple[Callable[[BaseException], bool], str], ...] = (
    (lambda error: isinstance(error, MemoryError | torch.OutOfMemoryError | lost.OutOfMemoryError), "oom"),
    (lambda error: _has_errno(error, (errno.ENOMEM,)) or _matches(error, NO_MEMORY), "oom"),
    (
        lambda error: (
            isinstance(error, lost.OutOfDiskError) or _has_errno(error, FULL_DISK_ERRNOS) or _matches(error, NO_SPACE)
        ),
        "disk",
    ),
    (lambda error: _attribute(error, "preempted") is True, "preempted"),
    (lambda error: isinstance(error, LOST_WORKER_ERRORS), "worker_lost"),
    (lambda error: _matches(error, GPU_BUG), "bug"),
    (
        lambda error: (
            isinstance(error, TRANSIENT_ERRORS)
            or _has_errno(error, TRANSIENT_ERRNOS)
            or _matches(error, TRANSIENT_TEXT)
        ),
        "machine",
    ),
)

_WRAPPED = ("__cause__", "cause", "training_failed_error", "controller_failure", "health_check_failure", "_base_exc")


def cause_of(error: BaseException) -> str:
    """Return the cause of a failed trial, based on its error or a wrapped error; `bug` for causes not in KNOWN."""
    cause = _cause(error, seen=set())
    return cause if cause in KNOWN else "bug"


def _cause(error: BaseException, *, seen: set[int]) -> str | None:
    """Return the first cause found in an error or in the errors that it wraps; None if there is none.

    An error of bad input has the cause of the error it wraps: a data file that cannot be read because its mount is
    offline is not bad data. `machine` is the weakest cause: when one rank of a group fails, the others only see their
    connections break. A root that refuses the repair of bad data is the root's problem, not the data's.
    """
    seen.add(id(error))
    if isinstance(error, TrialFailed) and isinstance(error.cause, str):
        return error.cause
    own = next((cause for matches, cause in CAUSES if matches(error)), None)
    if own is not None and own != "machine":
        return own
    inner = [_cause(link, seen=seen) for link in _wrapped(error) if id(link) not in seen]
    ignored = (None, "bad_data") if isinstance(error, BadRoot) else (None,)
    causes = [cause for cause in inner if cause not in ignored]
    if causes:
        return next((cause for cause in causes if cause != "machine"), causes[0])
    default = "disk" if isinstance(error, BadRoot) else "bad_data" if isinstance(error, BadInput) else None
    return own or default


def first_line(error: BaseException) -> str:
    """Return an error as one printable line: class and message, or only the message for nefstudy's own errors."""
    ours = next((link for link in _chain(error) if isinstance(link, TrialFailed | BadInput)), None)
    shown = error if ours is None else ours
    lines = [line.strip() for line in safe_error(_text(shown)).splitlines() if line.strip()]
    if isinstance(shown, lost.RayActorError):
        return _limited(_actor_message(lines))
    message = " ".join(lines[: 2 if lines[0].endswith(":") else 1]) if lines else "no message"
    return _limited(message if ours is not None else f"{type(shown).__name__}: {message}")


def portable(error: BaseException) -> TrialFailed:
    """Return an error that keeps its cause when pickled, although pickling drops wrapped errors."""
    return TrialFailed(first_line(error), cause=cause_of(error))


def traceback_of(error: BaseException) -> str:
    """Return an error's traceback for a log: printable, without secrets, and shortened in the middle if too long."""
    return without_secrets(printable(shortened("".join(traceback.format_exception(error)), 3 * ERROR_LENGTH)))


def _limited(line: str) -> str:
    return line if len(line) <= LINE_LENGTH else f"{line[: LINE_LENGTH - 1]}…"


def _actor_message(lines: list[str]) -> str:
    """Return the reason why an actor died, without the many identifiers in Ray's message."""
    reasons = [line for line in lines if line.startswith(("The actor is dead", "Worker exit detail", "The node"))]
    return " ".join(["the worker died:", *(reasons or lines[:1])]).replace("The actor is dead because", "")


def _text(error: BaseException) -> str:
    """Return the start of an error's message, the only part that is searched; empty if building the text fails."""
    try:
        return str(error)[:20_000]
    except BaseException:  # a foreign class may raise anything in __str__
        return ""


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all errors that it wraps, outermost first."""
    queue, seen = [error], set[int]()
    while queue:
        link = queue.pop(0)
        if id(link) not in seen:
            seen.add(id(link))
            yield link
            queue = [*_wrapped(link), *queue]


def _wrapped(error: BaseException) -> list[BaseException]:
    """Return the errors that an error wraps; for bad input, also the error being handled when it was raised."""
    links: list[Any] = [_attribute(error, name) for name in _WRAPPED]
    if isinstance(error, BadInput) and error.__cause__ is None:
        links.append(error.__context__)
    failures = _attribute(error, "worker_failures")
    links += failures.values() if isinstance(failures, dict) else ()
    return [link for link in links if isinstance(link, BaseException)]


def _attribute(error: BaseException, name: str) -> Any:
    """Return an attribute, or None if it is missing or a third-party class raises an error when it is read."""
    try:
        return getattr(error, name, None)
    except Exception:
        return None
