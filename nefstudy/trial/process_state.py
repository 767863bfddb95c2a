"""Isolation of trials that share a process: each trial starts from the same state, and its changes are undone.

User code (a field, a classifier, a task) runs in a process that later trials use too. State that affects the bytes of
results, such as the default dtype or the precision of matrix products, is set before each trial. All state listed here
is compared after the trial and restored; changes are reported, so that a changed process is not reused.
"""

import gc
import locale
import logging
import os
import random
import resource
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch.nn.modules import module as hooks

from nefstudy import seeds
from nefstudy.fitting.precision import DEFAULT_PRECISIONS, flushes_denormals, get_precisions, set_precisions
from nefstudy.trial.patches import Code

_UNCHANGED = object()  # marks state that is not set before a trial
_THREADED = ("grpc", "nefstudy", "ray", "torch", "tqdm")  # packages whose threads may outlive a trial
_RECURSION = 1000  # Python's default limit, which torch.compile raises and healthy code never lowers
_HOOKS: tuple[dict[Any, Any], ...] = (
    hooks._global_backward_hooks,
    hooks._global_backward_pre_hooks,
    hooks._global_buffer_registration_hooks,
    hooks._global_forward_hooks,
    hooks._global_forward_hooks_always_called,
    hooks._global_forward_hooks_with_kwargs,
    hooks._global_forward_pre_hooks,
    hooks._global_module_registration_hooks,
    hooks._global_parameter_registration_hooks,
)
_LIMITS = (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_DATA, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE)
_SIGNALS = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGALRM,
    signal.SIGCHLD,
    signal.SIGPIPE,
    signal.SIGUSR1,
)

_inside: ContextVar[bool] = ContextVar("inside", default=False)


@dataclass(frozen=True)
class _State:
    """One part of a process's state.

    Attributes:
        initial: the value at the start of every trial.
        is_reported: whether changes are reported; libraries that are imported late change some parts themselves.
    """

    name: str
    get: Callable[[], Any]
    set: Callable[[Any], Any]
    initial: Any = _UNCHANGED
    is_reported: bool = True


@contextmanager
def isolated(changes: list[str] | None = None, *, seed: int) -> Iterator[None]:
    """Run a trial in a known process state, and restore the previous state afterwards.

    Args:
        changes: receives the name of each part of the state that the trial changed.
        seed: seed of the trial, used for the global random generators.
    """
    if _inside.get():  # nested in an isolated trial
        _enter(seed)
        yield
        return
    generators = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002 - user code may use them
    before = [(state, _value(state)) for state in _states()]
    code = Code.now()
    threads = set(threading.enumerate())
    token = _inside.set(True)
    _enter(seed)
    try:
        yield
    finally:
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(max(limit, _RECURSION))  # else the following lines may fail
        _inside.reset(token)
        changed = ["recursion limit"] if limit < _RECURSION else []
        changed += [*_restored(before), *code.repair(), *_leaked_threads(threads)]
        random.setstate(generators[0])
        np.random.set_state(generators[1])  # noqa: NPY002
        torch.set_rng_state(generators[2])
        if changes is not None:
            changes += changed


def _enter(seed: int) -> None:
    for state in _states():
        if state.initial is not _UNCHANGED and _value(state) != state.initial:
            state.set(state.initial)
    number = seeds.integer(seed, "process") % 2**32
    random.seed(number)
    np.random.seed(number)  # noqa: NPY002
    torch.default_generator.manual_seed(number)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]  # untyped in torch
        torch.cuda.manual_seed_all(number)


def _restored(before: Sequence[tuple[_State, Any]]) -> Iterator[str]:
    """Restore every part of the state, and yield the names of the parts that changed."""
    for state, value in before:
        now = _value(state)
        if state.is_reported and now != (value if state.initial is _UNCHANGED else state.initial):
            yield state.name
        if now != value:
            with suppress(Exception):  # the change is reported, so the process is not reused
                state.set(value)


def _value(state: _State) -> Any:
    try:
        return state.get()
    except Exception as error:  # a removed working directory, or inconsistent precision settings
        return type(error).__name__


def _leaked_threads(before: set[threading.Thread]) -> Iterator[str]:
    """Yield the names of threads that outlive the trial that started them; they stop only when the process exits."""
    for thread in threading.enumerate():
        target = getattr(thread, "_target", None) or type(thread)
        package = (getattr(target, "__module__", None) or "").partition(".")[0]
        if thread not in before and package not in _THREADED:
            yield f"thread {thread.name}"


@cache
def _states() -> tuple[_State, ...]:
    return (
        *_torch_states(),
        *_python_states(),
        _State("hooks of all modules", _get_hooks, _set_hooks),
    )


def _torch_states() -> tuple[_State, ...]:
    c = torch._C
    return (
        _State("default dtype", torch.get_default_dtype, torch.set_default_dtype, torch.float32),
        _State("float32 precision", get_precisions, set_precisions, DEFAULT_PRECISIONS),
        _State("grad mode", torch.is_grad_enabled, c._set_grad_enabled, initial=True),
        _State(
            "autocast",
            lambda: torch.is_autocast_enabled("cpu"),
            lambda on: torch.set_autocast_enabled("cpu", on),
            initial=False,
        ),
        _State("default device", torch.get_default_device, _set_device, torch.device("cpu")),
        _State("flushing of denormals", flushes_denormals, torch.set_flush_denormal, initial=False),
        _State("deterministic algorithms", _get_deterministic, _set_deterministic, (False, False, True)),
        _State("mkldnn", c._get_mkldnn_enabled, c._set_mkldnn_enabled, initial=True),
        _State("mkldnn.deterministic", c._get_mkldnn_deterministic, c._set_mkldnn_deterministic, initial=False),
        _State("cudnn", c._get_cudnn_enabled, c._set_cudnn_enabled, initial=True),
        _State("cudnn.benchmark", c._get_cudnn_benchmark, c._set_cudnn_benchmark, initial=False),
        _State("cudnn.deterministic", c._get_cudnn_deterministic, c._set_cudnn_deterministic, initial=False),
        _State("anomaly detection", _get_anomaly, lambda value: torch.set_anomaly_enabled(*value), (False, True)),
        _State("threads of torch", torch.get_num_threads, torch.set_num_threads),
    )


def _python_states() -> tuple[_State, ...]:
    return (
        _State("NumPy's error state", np.geterr, lambda value: np.seterr(**value)),
        _State("warnings filters", lambda: list(warnings.filters), _set_filters, is_reported=False),
        _State("disabled logging", lambda: logging.root.manager.disable, logging.disable),
        _State("working directory", os.getcwd, os.chdir),
        _State("environment", os.environ.copy, _set_environment, is_reported=False),
        _State("umask", _get_umask, os.umask),
        _State("locale", lambda: locale.setlocale(locale.LC_ALL), lambda value: locale.setlocale(locale.LC_ALL, value)),
        _State("signal handlers", lambda: [signal.getsignal(number) for number in _SIGNALS], _set_handlers),
        _State("standard streams", lambda: [sys.stdout, sys.stderr], _set_streams),
        _State("garbage collection", gc.isenabled, lambda on: gc.enable() if on else gc.disable()),
        _State("resource limits", lambda: [resource.getrlimit(limit) for limit in _LIMITS], _set_limits),
        _State("CPU affinity", lambda: os.sched_getaffinity(0), lambda cpus: os.sched_setaffinity(0, cpus)),
    )


def _get_hooks() -> list[dict[Any, Any]]:
    return [dict(table) for table in _HOOKS]


def _set_hooks(tables: Sequence[dict[Any, Any]]) -> None:
    for table, before in zip(_HOOKS, tables, strict=True):
        table.clear()
        table.update(before)


def _set_device(device: torch.device) -> None:
    torch.set_default_device(None if device.type == "cpu" else device)  # None adds no overhead to calls


def _get_deterministic() -> tuple[bool, bool, bool]:
    fills = torch._C._get_deterministic_fill_uninitialized_memory()
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled(), fills


def _set_deterministic(value: tuple[bool, bool, bool]) -> None:
    torch.use_deterministic_algorithms(value[0], warn_only=value[1])
    torch._C._set_deterministic_fill_uninitialized_memory(value[2])


def _get_anomaly() -> tuple[bool, bool]:
    return torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()


def _set_environment(values: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(values)


def _set_filters(filters: Sequence[Any]) -> None:
    warnings.resetwarnings()
    warnings.filters[:] = filters  # type: ignore[index]  # a list, contrary to typeshed


def _get_umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _set_handlers(handlers: Sequence[Any]) -> None:
    for number, handler in zip(_SIGNALS, handlers, strict=True):
        signal.signal(number, handler)  # raises outside the main thread, but there user code cannot set handlers either


def _set_streams(streams: Sequence[Any]) -> None:
    sys.stdout, sys.stderr = streams


def _set_limits(limits: Sequence[tuple[int, int]]) -> None:
    for limit, value in zip(_LIMITS, limits, strict=True):
        resource.setrlimit(limit, value)
