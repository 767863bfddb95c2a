"""A watch that detects when the driver's Ray has died; otherwise, calls to the dead Ray would block for a minute."""

import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import final

import psutil

PROBE_EVERY_S = 1.0
KILL_S = 10.0
CONNECT_S = 3.0  # until a cluster's head must accept a connection
PATIENCE_S = 25.0  # for a restarting head; Ray ends its drivers after 60
PROCESSES = ("gcs_server", "raylet")  # those without which a local Ray is dead

Probe = Callable[[], str | None]


@final
class RayWatch:
    """A thread that probes Ray every second.

    Args:
        probe: returns the problem; None while Ray is alive.
        patience_s: how long the problem must last before Ray counts as lost.
        on_lost: called once with the problem, in the thread, because the main thread may hang in Ray.
    """

    def __init__(self, probe: Probe, *, patience_s: float, on_lost: Callable[[str], None]) -> None:
        self._probe, self._patience_s, self._on_lost = probe, patience_s, on_lost
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watch on Ray", daemon=True)

    def __enter__(self) -> "RayWatch":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        since = None
        while not self._stop.wait(PROBE_EVERY_S):
            problem = self._probe()
            now = time.monotonic()
            if problem is None:
                since = None
                continue
            since = now if since is None else since
            if now - since >= self._patience_s:
                self._on_lost(problem)
                return


def end_processes(folder: str) -> None:
    """Kill all other processes that have a file open in a Ray directory; Ray's agents outlive their raylet."""
    killed = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and any(file.path.startswith(f"{folder}/") for file in process.open_files()):
                process.kill()
                killed.append(process)
    psutil.wait_procs(killed, timeout=KILL_S)


def probe_own(folder: str) -> Probe:
    """Return a function that checks the processes of a local Ray that this process started in `folder`."""
    processes = {}
    for child in psutil.Process().children():
        with suppress(psutil.Error):
            if child.name() in PROCESSES and any(folder in word for word in child.cmdline()):
                processes[child.name()] = child

    def probe() -> str | None:
        for name, process in processes.items():
            if not _is_alive(process):
                return f"Ray's process {name} (pid {process.pid}) has ended"
        return None

    return probe


def probe_head(address: str) -> Probe:
    """Return a function that checks the cluster head at host:port."""

    def probe() -> str | None:
        problem = unreachable(address)
        return None if problem is None else f"the head of the Ray cluster, {address}, does not answer ({problem})"

    return probe


def unreachable(address: str) -> str | None:
    """Return the reason why a TCP connection to host:port fails; None if the connection succeeds.

    Raises:
        ValueError: the address is not host:port.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise ValueError(f"{address!r} is not host:port")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S).close()
    except (OSError, UnicodeError) as error:  # UnicodeError: a host name that is too long
        return getattr(error, "strerror", None) or str(error) or type(error).__name__
    return None


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
