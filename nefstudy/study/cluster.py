"""The Ray this process drives: the cluster it was submitted to, or one of its own that goes away with it."""

import logging
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path

import ray
from ray._private.services import canonicalize_bootstrap_address

from nefstudy.errors import BadConfig, StudyStopped
from nefstudy.outside_text import safe_error
from nefstudy.study.ray_folder import make_ray_folder, remove_ray_folder, sweep_rays
from nefstudy.study.ray_watch import PATIENCE_S, Look, RayWatch, end_processes, look_at_head, look_at_own, unreachable
from nefstudy.study.run import StudyRun
from nefstudy.study.turns import Room
from nefstudy.trial.distributed import TrialSetup

LOOK_EVERY_S = 3.0
MOST_TRIALS = 10_000
START_TRIES = 2
CLIENT_PORT = 10001  # of ray:// without a port


@dataclass(frozen=True)
class Resources:
    """What the cluster offers at this moment."""

    cpus: float
    gpus: float


@contextmanager
def connected_ray(on_lost: Callable[[str], int] | None = None) -> Iterator[Resources]:
    """Connect to the cluster of RAY_ADDRESS, else start a local Ray and stop it at the end.

    Args:
        on_lost: called with what happened once Ray has died, in another thread: the caller then waits in a call of
            Ray's that may never return. The process ends with the exit code that it returns.

    Raises:
        BadConfig: RAY_ADDRESS is not an address, or no Ray answers there; no directory can hold a Ray.
        StudyStopped: a Ray of this machine did not start.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if ray.is_initialized():
        yield offered()
        return
    address = os.environ.get("RAY_ADDRESS")
    own = None
    if not address or address == "local":
        sweep_rays()  # what killed drivers left may be the space that is missing
        own = make_ray_folder()
    try:
        with _own_signals():
            look, patience_s = (_start(own), 0.0) if own is not None else (_join(str(address)), PATIENCE_S)
        with ExitStack() as watched:
            if on_lost is not None and look is not None:
                watched.enter_context(RayWatch(look, patience_s=patience_s, on_lost=_ending(on_lost, own)))
            yield offered()
    finally:
        with _own_signals():
            ray.shutdown()
        if own is not None:
            remove_ray_folder(own)


def _start(folder: Path) -> Look:
    """Start a Ray of this process, in a second try if the first one fails: a busy machine can be too slow for it."""
    names = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
    if not any(name in os.environ for name in names):  # else Ray writes one to the home directory, if there is one
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    problems = []
    for _ in range(START_TRIES):
        try:
            ray.init(
                address="local",
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                _temp_dir=str(folder),
            )
        except Exception as error:  # Ray raises Exception itself when a part of it is late
            problems.append(_first_line(error))
            _clear_half_started(folder)
        else:
            return look_at_own(str(folder))
    raise StudyStopped(
        f"Ray did not start on this machine in {START_TRIES} tries ({'; '.join(dict.fromkeys(problems)).rstrip('.')}); "
        "free some memory or processors, and look at the space in /dev/shm, then run the same command again"
    )


def _clear_half_started(folder: Path) -> None:
    """End what a failed start of Ray left, which Ray itself has lost sight of."""
    with suppress(Exception):  # of a Ray that is half there
        ray.shutdown()
    end_processes(str(folder))


def _ending(on_lost: Callable[[str], int], own: Path | None) -> Callable[[str], None]:
    """Return how the process ends when Ray has died."""

    def end(problem: str) -> None:
        code = 1
        try:
            code = on_lost(problem)
            if own is not None:
                end_processes(str(own))
                remove_ray_folder(own)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    return end


def _join(address: str) -> Look | None:
    """Connect to a cluster, once its address answers; Ray itself would try for minutes."""
    try:
        probed = _host_and_port(address)
        problem = None if probed is None else unreachable(probed)
        if problem is not None:
            raise ConnectionError(f"{problem}: {probed}")
        ray.init(log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError) as error:  # which of them depends on what is wrong with it
        raise BadConfig(
            f"RAY_ADDRESS {address!r} cannot be joined ({_first_line(error).rstrip('.')}); give a running head as "
            "host:port, or unset RAY_ADDRESS for a Ray of this machine"
        ) from error
    return None if "://" in address else look_at_head(ray.get_runtime_context().gcs_address)


def _host_and_port(address: str) -> str | None:
    """Return where the head of an address listens; None where Ray alone can find out."""
    scheme, separator, rest = address.rpartition("://")
    if not separator:
        found = canonicalize_bootstrap_address(address) if address == "auto" else address
        return None if found is None else str(found)
    if scheme != "ray":
        return None  # Ray knows no other, and refuses it at once
    host = rest.partition("/")[0].partition("?")[0]
    return host if ":" in host.rpartition("]")[2] else f"{host}:{CLIENT_PORT}"


def _first_line(error: Exception) -> str:
    return safe_error(next(iter(str(error).strip().splitlines()), type(error).__name__))


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep this process's signal handlers: Ray's own abort on SIGTERM, and its shutdown leaves the system's."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    if threading.current_thread() is threading.main_thread():
        for number, handler in before.items():
            signal.signal(number, handler)


def offered() -> Resources:
    """What the cluster has now, taken or free."""
    total = ray.cluster_resources()
    return Resources(cpus=float(total.get("CPU", 0)), gpus=float(total.get("GPU", 0)))


class Headroom:
    """How many trials there is room for, while nodes come and go.

    Args:
        asked: at most so many trials at once.
        sharing: whether trials share GPUs by what they need, so that their number says little.

    Raises:
        BadConfig: not even one trial fits the cluster as it is.
    """

    def __init__(self, setup: TrialSetup, *, asked: int | None, sharing: bool) -> None:
        self._setup, self._asked = setup, asked
        self._sharing = sharing and setup.workers == 0
        self._looked = time.monotonic()
        self._node = ray.get_runtime_context().get_node_id()
        resources = offered()
        self.room = self._room(resources)
        if not self.room.trials:
            raise BadConfig(
                f"a trial of {max(setup.workers, 1)} process(es) with {setup.cpus:g} CPU and {setup.gpus:g} GPU each "
                f"does not fit the cluster ({resources.cpus:g} CPU, {resources.gpus:g} GPU); lower --workers or "
                "--gpus, or add nodes"
            )

    def step(self, run: StudyRun) -> None:
        """Tell the run what room there is, looked up every few seconds.

        Raises:
            StudyStopped: Ray has given up the node this process runs on, and would leave it waiting for ever.
        """
        if time.monotonic() - self._looked >= LOOK_EVERY_S:
            self._looked = time.monotonic()
            if not any(node["Alive"] and node["NodeID"] == self._node for node in ray.nodes()):
                raise StudyStopped(
                    f"study {run.plan.study!r} stopped: Ray has given up the node of its driver, which was out of "
                    "reach for too long (suspended, out of memory, or overloaded); run the same command again"
                )
            self.room = self._room(offered())
        run.room = self.room

    def _room(self, resources: Resources) -> Room:
        setup = self._setup
        gpus = 0.0 if self._sharing else setup.gpus
        fits = trials_that_fit(resources, workers=setup.workers, cpus=setup.cpus, gpus=gpus)
        trials = fits if self._asked is None else min(self._asked, fits)
        return Room(trials=trials, gpus=resources.gpus if self._sharing else inf)


def trials_that_fit(resources: Resources, *, workers: int, cpus: float, gpus: float) -> int:
    """How many trials of so many workers fit, each worker with these CPUs and GPUs."""
    processes = max(workers, 1)
    by_cpu = resources.cpus // (processes * cpus) if cpus else inf
    by_gpu = resources.gpus // (processes * gpus) if gpus else inf
    return int(min(by_cpu, by_gpu, MOST_TRIALS))
