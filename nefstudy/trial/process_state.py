"""The state of the process that trials share: every trial starts from the same one, and changes of it are undone.

User code (a field, a classifier, `work`) runs in the process of the trials after it. What decides bytes, such as the
default dtype or the precision of matrix products, is set before each trial; everything listed here is compared after
it, restored, and reported, so that a process that was changed is not used again.
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

_KEPT = object()  # a value that no trial is given: it keeps what is there
_THREADED = ("grpc", "nefstudy", "ray", "torch", "tqdm")  # packages that keep threads for later trials
_RECURSION = 1000  # Python's own limit, which torch.compile raises and nothing healthy lowers
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
    """One part of the process's state.

    Attributes:
        wanted: the value at the start of every trial.
        counts: whether a change is reported; libraries that are imported late change some parts themselves.
    """

    name: str
    get: Callable[[], Any]
    set: Callable[[Any], Any]
    wanted: Any = _KEPT
    counts: bool = True


@contextmanager
def kept(changes: list[str] | None = None, *, seed: int) -> Iterator[None]:
    """Run a trial in a known state of the process, and restore at the end what was there before.

    Args:
        changes: receives the name of each part that the trial changed.
        seed: of the trial, which seeds the global random generators.
    """
    if _inside.get():  # of the trial that is kept already
        _enter(seed)
        yield
        return
    generators = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002 - as user code has them
    before = [(state, _value(state)) for state in _states()]
    code = Code.now()
    threads = set(threading.enumerate())
    token = _inside.set(True)
    _enter(seed)
    try:
        yield
    finally:
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(max(limit, _RECURSION))  # or what follows may not run
        _inside.reset(token)
        found = ["recursion limit"] if limit < _RECURSION else []
        found += [*_restored(before), *code.repair(), *_left(threads)]
        random.setstate(generators[0])
        np.random.set_state(generators[1])  # noqa: NPY002
        torch.set_rng_state(generators[2])
        if changes is not None:
            changes += found


def _enter(seed: int) -> None:
    for state in _states():
        if state.wanted is not _KEPT and _value(state) != state.wanted:
            state.set(state.wanted)
    number = seeds.integer(seed, "process") % 2**32
    random.seed(number)
    np.random.seed(number)  # noqa: NPY002
    torch.default_generator.manual_seed(number)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]  # as torch has it
        torch.cuda.manual_seed_all(number)


def _restored(before: Sequence[tuple[_State, Any]]) -> Iterator[str]:
    """Restore every part and name those that were changed."""
    for state, value in before:
        now = _value(state)
        if state.counts and now != (value if state.wanted is _KEPT else state.wanted):
            yield state.name
        if now != value:
            with suppress(Exception):  # it is reported; the process is not used again
                state.set(value)


def _value(state: _State) -> Any:
    try:
        return state.get()
    except Exception as error:  # a removed working directory, mixed ways to set a precision
        return type(error).__name__


def _left(before: set[threading.Thread]) -> Iterator[str]:
    """Name threads that still run after the trial that started them; nothing ends them but the end of their process."""
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
        _State("grad mode", torch.is_grad_enabled, c._set_grad_enabled, wanted=True),
        _State(
            "autocast",
            lambda: torch.is_autocast_enabled("cpu"),
            lambda on: torch.set_autocast_enabled("cpu", on),
            wanted=False,
        ),
        _State("default device", torch.get_default_device, _set_device, torch.device("cpu")),
        _State("flushing of denormals", flushes_denormals, torch.set_flush_denormal, wanted=False),
        _State("deterministic algorithms", _get_deterministic, _set_deterministic, (False, False, True)),
        _State("mkldnn", c._get_mkldnn_enabled, c._set_mkldnn_enabled, wanted=True),
        _State("mkldnn.deterministic", c._get_mkldnn_deterministic, c._set_mkldnn_deterministic, wanted=False),
        _State("cudnn", c._get_cudnn_enabled, c._set_cudnn_enabled, wanted=True),
        _State("cudnn.benchmark", c._get_cudnn_benchmark, c._set_cudnn_benchmark, wanted=False),
        _State("cudnn.deterministic", c._get_cudnn_deterministic, c._set_cudnn_deterministic, wanted=False),
        _State("anomaly detection", _get_anomaly, lambda value: torch.set_anomaly_enabled(*value), (False, True)),
        _State("threads of torch", torch.get_num_threads, torch.set_num_threads),
    )


def _python_states() -> tuple[_State, ...]:
    return (
        _State("NumPy's error state", np.geterr, lambda value: np.seterr(**value)),
        _State("warnings filters", lambda: list(warnings.filters), _set_filters, counts=False),
        _State("disabled logging", lambda: logging.root.manager.disable, logging.disable),
        _State("working directory", os.getcwd, os.chdir),
        _State("environment", os.environ.copy, _set_environment, counts=False),
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
    torch.set_default_device(None if device.type == "cpu" else device)  # None costs no call on the way to each function


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
    warnings.filters[:] = filters  # type: ignore[index]  # a list, whatever typeshed promises


def _get_umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _set_handlers(handlers: Sequence[Any]) -> None:
    for number, handler in zip(_SIGNALS, handlers, strict=True):
        signal.signal(number, handler)  # raises outside the main thread, where user code cannot do it either


def _set_streams(streams: Sequence[Any]) -> None:
    sys.stdout, sys.stderr = streams


def _set_limits(limits: Sequence[tuple[int, int]]) -> None:
    for limit, value in zip(_LIMITS, limits, strict=True):
        resource.setrlimit(limit, value)
