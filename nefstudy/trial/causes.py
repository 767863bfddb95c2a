"""Why a trial failed: which rule an error falls under, and the error in one line."""

import errno
from collections.abc import Callable, Iterator
from typing import Any

import torch
from ray import exceptions as lost
from ray.train.v2._internal import exceptions as train

from nefstudy.errors import BadInput, BadRoot, TrialFailed

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
GONE = (
    lost.RayActorError,
    lost.WorkerCrashedError,
    lost.NodeDiedError,
    lost.ObjectLostError,
    train.WorkerHealthCheckFailedError,
    train.WorkerHealthCheckTimeoutError,
)

CAUSES: tuple[tuple[Callable[[BaseException], bool], str], ...] = (
    (lambda error: isinstance(error, BadRoot), "disk"),
    (lambda error: isinstance(error, BadInput), "bad_data"),
    (lambda error: isinstance(error, MemoryError | torch.OutOfMemoryError | lost.OutOfMemoryError), "oom"),
    (lambda error: isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error), "oom"),
    (lambda error: isinstance(error, OSError) and error.errno in FULL, "disk"),
    (lambda error: bool(getattr(error, "preempted", False)), "preempted"),
    (lambda error: isinstance(error, GONE), "worker_lost"),
)

_WRAPPED = ("__cause__", "cause", "training_failed_error", "controller_failure", "health_check_failure")


def cause_of(error: BaseException) -> str:
    """Which rule applies to a failed trial: the error's own cause, or that of what it wraps, or `bug`."""
    for link in _chain(error):
        if isinstance(link, TrialFailed):
            return link.cause
        for matches, cause in CAUSES:
            if matches(link):
                return cause
    return "bug"


def first_line(error: BaseException) -> str:
    """One line that names the error's class and says what went wrong; our own errors speak for themselves."""
    ours = next((link for link in _chain(error) if isinstance(link, TrialFailed | BadInput)), None)
    told = error if ours is None else ours
    lines = [line.strip() for line in str(told).strip().splitlines()]
    if isinstance(told, lost.RayActorError):
        return _of_actor(lines)
    said = lines[0] if lines else "no message"
    return said if ours is not None else f"{type(told).__name__}: {said}"


def _of_actor(lines: list[str]) -> str:
    """What became of an actor: Ray tells it over many lines, most of them identifiers."""
    telling = [line for line in lines if line.startswith(("The actor is dead", "Worker exit detail", "The node"))]
    return " ".join(["the worker died:", *(telling or lines[:1])]).replace("The actor is dead because", "")


def _chain(error: Any, *, depth: int = 0) -> Iterator[BaseException]:
    """The error and what it wraps, outermost first."""
    if not isinstance(error, BaseException) or depth > 8:
        return
    yield error
    for name in _WRAPPED:
        yield from _chain(getattr(error, name, None), depth=depth + 1)
    failures = getattr(error, "worker_failures", None)
    for failure in failures.values() if isinstance(failures, dict) else ():
        yield from _chain(failure, depth=depth + 1)
