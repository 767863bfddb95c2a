"""Why a trial failed: which rule an error falls under, and the error in one line."""

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

KNOWN = ("diverged", "bad_data", "oom", "disk", "machine", "worker_lost", "preempted", "bug")
LINE_LENGTH = 1_000  # characters of an error's line

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NAMES = (
    "EIO ESTALE EROFS EMFILE ENFILE EAGAIN EINTR EBUSY ETXTBSY ENOLCK ENXIO ENODEV ENOMEDIUM EACCES EPERM EPIPE "
    "ETIMEDOUT ECONNRESET ECONNREFUSED ECONNABORTED ENOTCONN ESHUTDOWN EHOSTDOWN EHOSTUNREACH ENETDOWN ENETUNREACH "
    "ENETRESET ENOBUFS EADDRINUSE EADDRNOTAVAIL EREMOTEIO EREMOTE ECOMM EPROTO EBADMSG EUCLEAN EKEYEXPIRED ENOKEY"
)
PASSING = tuple(getattr(errno, name) for name in _NAMES.split() if hasattr(errno, name))
GONE = (
    lost.RayActorError,
    lost.WorkerCrashedError,
    lost.NodeDiedError,
    lost.LocalRayletDiedError,
    lost.ObjectLostError,
    train.WorkerHealthCheckFailedError,
    train.WorkerHealthCheckTimeoutError,
)
TRANSIENT = (
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

# Texts of errors that carry no number: of pyarrow's remote filesystems, of GPU libraries, of what wraps an OSError.
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
TROUBLE = re.compile(
    r"can't start new thread|\bCUDA (?:driver )?error|\bCU\w+_STATUS_|\bcuDNN error|\bNCCL error|\bunhandled cuda error"
    r"|AWS Error (?!NO_SUCH|RESOURCE_NOT_FOUND)|curlCode|SLOW_DOWN|DEADLINE_EXCEEDED|\bUNAVAILABLE\b"
    r"|input/output error|stale (?:nfs )?file handle|read-only file system|too many open files|device or resource busy"
    r"|resource temporarily unavailable|timed out|timeout (?:was )?(?:reached|expired)|broken pipe"
    r"|connection (?:was )?(?:reset|refused|aborted|closed)|network is unreachable|no route to host|host is down"
    r"|transport endpoint is not connected|name resolution|could(?:n't| not) (?:resolve|connect)",
    re.IGNORECASE,
)
NUMBER = re.compile(r"\berrno\W{1,3}(\d{1,4})\b", re.IGNORECASE)
PLAIN = (LookupError, TypeError, AttributeError, NameError, AssertionError, ValueError, NefstudyError)
"""Errors of code or data, whose texts say nothing about the machine."""


def _numbers(error: BaseException) -> set[int]:
    """Return the errno of an OSError, or those that the text of another error names."""
    own = getattr(error, "errno", None) if isinstance(error, OSError) else None
    return {own} if isinstance(own, int) else {int(digits) for digits in NUMBER.findall(_text(error))}


def _says(error: BaseException, pattern: re.Pattern[str]) -> bool:
    return not isinstance(error, PLAIN) and pattern.search(_text(error)) is not None


def _has(error: BaseException, numbers: tuple[int, ...]) -> bool:
    return not isinstance(error, PLAIN) and not _numbers(error).isdisjoint(numbers)


CAUSES: tuple[tuple[Callable[[BaseException], bool], str], ...] = (
    (lambda error: isinstance(error, MemoryError | torch.OutOfMemoryError | lost.OutOfMemoryError), "oom"),
    (lambda error: _has(error, (errno.ENOMEM,)) or _says(error, NO_MEMORY), "oom"),
    (lambda error: isinstance(error, lost.OutOfDiskError) or _has(error, FULL) or _says(error, NO_SPACE), "disk"),
    (lambda error: _attribute(error, "preempted") is True, "preempted"),
    (lambda error: isinstance(error, GONE), "worker_lost"),
    (lambda error: _says(error, GPU_BUG), "bug"),
    (lambda error: isinstance(error, TRANSIENT) or _has(error, PASSING) or _says(error, TROUBLE), "machine"),
)

_WRAPPED = ("__cause__", "cause", "training_failed_error", "controller_failure", "health_check_failure", "_base_exc")


def cause_of(error: BaseException) -> str:
    """Return the cause of a failed trial, one of KNOWN: the error's, or that of what it wraps, or `bug`."""
    cause = _cause(error, seen=set())
    return cause if cause in KNOWN else "bug"


def _cause(error: BaseException, *, seen: set[int]) -> str | None:
    """Return the first cause that the error or what it wraps has.

    What bad input wraps decides: a data file that cannot be read because its mount is away is not bad data. Passing
    trouble is the weakest cause: when one rank of a group fails, the others only see their connections break.
    """
    seen.add(id(error))
    if isinstance(error, TrialFailed) and isinstance(error.cause, str):
        return error.cause
    own = next((cause for matches, cause in CAUSES if matches(error)), None)
    if own is not None and own != "machine":
        return own
    inner = [_cause(link, seen=seen) for link in _wrapped(error) if id(link) not in seen]
    found = [cause for cause in inner if cause is not None]
    if found:
        return next((cause for cause in found if cause != "machine"), found[0])
    default = "disk" if isinstance(error, BadRoot) else "bad_data" if isinstance(error, BadInput) else None
    return own or default


def first_line(error: BaseException) -> str:
    """Return one printable line with the error's class and message; the message alone for an error of ours."""
    ours = next((link for link in _chain(error) if isinstance(link, TrialFailed | BadInput)), None)
    told = error if ours is None else ours
    lines = [line.strip() for line in safe_error(_text(told)).splitlines() if line.strip()]
    if isinstance(told, lost.RayActorError):
        return _bounded(_of_actor(lines))
    said = " ".join(lines[: 2 if lines[0].endswith(":") else 1]) if lines else "no message"
    return _bounded(said if ours is not None else f"{type(told).__name__}: {said}")


def portable(error: BaseException) -> TrialFailed:
    """Return an error that keeps its cause on the way to another process: pickling drops what an exception wraps."""
    return TrialFailed(first_line(error), cause=cause_of(error))


def traceback_of(error: BaseException) -> str:
    """Return an error's traceback as a log may hold it, its middle cut out where it is too long."""
    return without_secrets(printable(shortened("".join(traceback.format_exception(error)), 3 * ERROR_LENGTH)))


def _bounded(line: str) -> str:
    return line if len(line) <= LINE_LENGTH else f"{line[: LINE_LENGTH - 1]}…"


def _of_actor(lines: list[str]) -> str:
    """What became of an actor: Ray tells it over many lines, most of them identifiers."""
    telling = [line for line in lines if line.startswith(("The actor is dead", "Worker exit detail", "The node"))]
    return " ".join(["the worker died:", *(telling or lines[:1])]).replace("The actor is dead because", "")


def _text(error: BaseException) -> str:
    """Return the error's message, cut to what is searched; empty where the error cannot say it."""
    try:
        return str(error)[:20_000]
    except BaseException:  # whatever a foreign class does to build its message
        return ""


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and what it wraps, outermost first."""
    waiting, seen = [error], set[int]()
    while waiting:
        link = waiting.pop(0)
        if id(link) not in seen:
            seen.add(id(link))
            yield link
            waiting = [*_wrapped(link), *waiting]


def _wrapped(error: BaseException) -> list[BaseException]:
    """Return the errors that this one wraps; for bad input also the one that was being handled when it was raised."""
    links: list[Any] = [_attribute(error, name) for name in _WRAPPED]
    if isinstance(error, BadInput) and error.__cause__ is None:
        links.append(error.__context__)
    failures = _attribute(error, "worker_failures")
    links += failures.values() if isinstance(failures, dict) else ()
    return [link for link in links if isinstance(link, BaseException)]


def _attribute(error: BaseException, name: str) -> Any:
    """Return an attribute, None where there is none or a foreign class fails to give it."""
    try:
        return getattr(error, name, None)
    except Exception:
        return None
