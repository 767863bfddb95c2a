"""The connection to Ray: an existing cluster, or a local Ray that this process starts and stops."""

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
from nefstudy.study.cluster.liveness import (
    PATIENCE_S,
    Probe,
    RayWatch,
    end_processes,
    probe_head,
    probe_own,
    unreachable,
)
from nefstudy.study.cluster.ray_directory import make_ray_folder, remove_ray_folder, sweep_rays
from nefstudy.study.driver.run import StudyRun
from nefstudy.study.driver.schedule import Capacity
from nefstudy.trial.assignment import TrialSetup

CHECK_EVERY_S = 3.0
MAX_TRIALS = 10_000
START_TRIES = 2
CLIENT_PORT = 10001  # of a ray:// address without a port


@dataclass(frozen=True)
class Resources:
    """The CPUs and GPUs that the cluster has now, whether free or in use."""

    cpus: float
    gpus: float


@contextmanager
def connected_ray(on_lost: Callable[[str], int] | None = None) -> Iterator[Resources]:
    """Connect to the cluster at RAY_ADDRESS, or start a local Ray that is stopped on exit.

    Args:
        on_lost: called with the problem once Ray has died, in another thread, because the caller may hang in a call
            to Ray. The process ends with the exit code that it returns.

    Raises:
        BadConfig: RAY_ADDRESS is not an address, no Ray answers there, or no directory is suitable for a local Ray.
        StudyStopped: the local Ray did not start.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if ray.is_initialized():
        yield cluster_resources()
        return
    address = os.environ.get("RAY_ADDRESS")
    own = None
    if not address or address == "local":
        sweep_rays()  # directories of killed drivers may take the space that is missing
        own = make_ray_folder()
    try:
        with _preserved_signals():
            probe, patience_s = (_start(own), 0.0) if own is not None else (_join(str(address)), PATIENCE_S)
        with ExitStack() as watched:
            if on_lost is not None and probe is not None:
                watched.enter_context(RayWatch(probe, patience_s=patience_s, on_lost=_ending(on_lost, own)))
            yield cluster_resources()
    finally:
        with _preserved_signals():
            ray.shutdown()
        if own is not None:
            remove_ray_folder(own)


def _start(folder: Path) -> Probe:
    """Start a local Ray; retry once, because Ray can time out while starting on a busy machine."""
    names = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
    if not any(name in os.environ for name in names):  # else Ray writes one to the home directory, which may not exist
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
        except Exception as error:  # Ray raises plain Exception if one of its processes is late
            problems.append(_first_line(error))
            _clear_half_started(folder)
        else:
            return probe_own(str(folder))
    raise StudyStopped(
        f"Ray did not start on this machine in {START_TRIES} tries ({'; '.join(dict.fromkeys(problems)).rstrip('.')}); "
        "free some memory or processors, check the space in /dev/shm, then run the same command again"
    )


def _clear_half_started(folder: Path) -> None:
    """Kill the processes that a failed start of Ray left behind, because Ray no longer tracks these processes."""
    with suppress(Exception):  # of a half-started Ray
        ray.shutdown()
    end_processes(str(folder))


def _ending(on_lost: Callable[[str], int], own: Path | None) -> Callable[[str], None]:
    """Return a callback that ends the process after Ray has died."""

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


def _join(address: str) -> Probe | None:
    """Connect to a cluster after checking that its address is reachable; Ray itself would retry for minutes."""
    try:
        head = _host_and_port(address)
        problem = None if head is None else unreachable(head)
        if problem is not None:
            raise ConnectionError(f"{problem}: {head}")
        ray.init(log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError) as error:  # which one depends on what is wrong with the address
        raise BadConfig(
            f"RAY_ADDRESS {address!r} cannot be joined ({_first_line(error).rstrip('.')}); set it to the "
            "host:port of a running head, or unset RAY_ADDRESS to start a local Ray"
        ) from error
    return None if "://" in address else probe_head(ray.get_runtime_context().gcs_address)


def _host_and_port(address: str) -> str | None:
    """Return the host:port of a head address; None if only Ray can resolve the address."""
    scheme, separator, rest = address.rpartition("://")
    if not separator:
        head = canonicalize_bootstrap_address(address) if address == "auto" else address
        return None if head is None else str(head)
    if scheme != "ray":
        return None  # Ray supports no other scheme and refuses it at once
    host = rest.partition("/")[0].partition("?")[0]
    return host if ":" in host.rpartition("]")[2] else f"{host}:{CLIENT_PORT}"


def _first_line(error: Exception) -> str:
    return safe_error(next(iter(str(error).strip().splitlines()), type(error).__name__))


@contextmanager
def _preserved_signals() -> Iterator[None]:
    """Restore the process's signal handlers on exit.

    Ray aborts on SIGTERM, and its shutdown resets the handlers to Python's defaults.
    """
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    if threading.current_thread() is threading.main_thread():
        for number, handler in before.items():
            signal.signal(number, handler)


def cluster_resources() -> Resources:
    """Return the CPUs and GPUs that the cluster has now, whether free or in use."""
    total = ray.cluster_resources()
    return Resources(cpus=float(total.get("CPU", 0)), gpus=float(total.get("GPU", 0)))


class ClusterCapacity:
    """The cluster's capacity for trials, which changes as nodes join and leave.

    Args:
        concurrency: the user's limit on the number of trials in flight; None for no limit.
        sharing: whether trials share GPUs, so that their GPU shares limit them instead of their number.

    Raises:
        BadConfig: not even one trial fits the cluster.
    """

    def __init__(self, setup: TrialSetup, *, concurrency: int | None, sharing: bool) -> None:
        self._setup, self._concurrency = setup, concurrency
        self._sharing = sharing and setup.workers == 0
        self._checked_at = time.monotonic()
        self._node = ray.get_runtime_context().get_node_id()
        resources = cluster_resources()
        self.capacity = self._measure(resources)
        if not self.capacity.trials:
            raise BadConfig(
                f"a trial of {max(setup.workers, 1)} process(es) with {setup.cpus:g} CPU and {setup.gpus:g} GPU each "
                f"does not fit the cluster ({resources.cpus:g} CPU, {resources.gpus:g} GPU); lower --workers or "
                "--gpus, or add nodes"
            )

    def step(self, run: StudyRun) -> None:
        """Set the run's capacity from the resources of the cluster, which are checked every few seconds.

        Raises:
            StudyStopped: Ray has declared this process's node dead, and calls to Ray would hang.
        """
        if time.monotonic() - self._checked_at >= CHECK_EVERY_S:
            self._checked_at = time.monotonic()
            if not any(node["Alive"] and node["NodeID"] == self._node for node in ray.nodes()):
                raise StudyStopped(
                    f"study {run.plan.study!r} stopped: Ray has declared the node of its driver dead, which was out "
                    "of reach for too long (suspended, out of memory, or overloaded); run the same command again"
                )
            self.capacity = self._measure(cluster_resources())
        run.capacity = self.capacity

    def _measure(self, resources: Resources) -> Capacity:
        setup = self._setup
        gpus = 0.0 if self._sharing else setup.gpus
        fits = trials_that_fit(resources, workers=setup.workers, cpus=setup.cpus, gpus=gpus)
        trials = fits if self._concurrency is None else min(self._concurrency, fits)
        return Capacity(trials=trials, gpus=resources.gpus if self._sharing else inf)


def trials_that_fit(resources: Resources, *, workers: int, cpus: float, gpus: float) -> int:
    """Return how many trials fit on the cluster if each trial runs `workers` processes with `cpus` and `gpus` each."""
    processes = max(workers, 1)
    by_cpu = resources.cpus // (processes * cpus) if cpus else inf
    by_gpu = resources.gpus // (processes * gpus) if gpus else inf
    return int(min(by_cpu, by_gpu, MAX_TRIALS))
