"""A watch on the Ray that a driver uses: a driver whose Ray has died waits inside Ray, which ends it a minute later."""

import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import final

import psutil

LOOK_EVERY_S = 1.0
KILL_S = 10.0
PROBE_S = 3.0  # for an answer of a cluster's head
PATIENCE_S = 25.0  # for a head that restarts; Ray ends its drivers after 60
PARTS = ("gcs_server", "raylet")  # the processes without which a Ray of our own is dead

Look = Callable[[], str | None]


@final
class RayWatch:
    """Looks at Ray every second in a thread.

    Args:
        look: returns what is missing, None while Ray lives.
        patience_s: how long something must be missing before Ray is lost.
        on_lost: called once with what is missing, in the thread: the main thread may never return from Ray.
    """

    def __init__(self, look: Look, *, patience_s: float, on_lost: Callable[[str], None]) -> None:
        self._look, self._patience_s, self._on_lost = look, patience_s, on_lost
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
        missing_since = None
        while not self._stop.wait(LOOK_EVERY_S):
            missing = self._look()
            now = time.monotonic()
            if missing is None:
                missing_since = None
                continue
            missing_since = now if missing_since is None else missing_since
            if now - missing_since >= self._patience_s:
                self._on_lost(missing)
                return


def end_processes(folder: str) -> None:
    """Kill every process but this one that holds a file in a Ray's folder: Ray's agents outlive their raylet."""
    left = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and any(file.path.startswith(f"{folder}/") for file in process.open_files()):
                process.kill()
                left.append(process)
    psutil.wait_procs(left, timeout=KILL_S)


def look_at_own(folder: str) -> Look:
    """Return a look at the processes of a Ray that this process started in `folder`."""
    parts = {}
    for child in psutil.Process().children():
        with suppress(psutil.Error):
            if child.name() in PARTS and any(folder in word for word in child.cmdline()):
                parts[child.name()] = child

    def look() -> str | None:
        for name, process in parts.items():
            if not _lives(process):
                return f"Ray's process {name} (pid {process.pid}) has ended"
        return None

    return look


def look_at_head(address: str) -> Look:
    """Return a look at the head of a cluster, by its host:port."""

    def look() -> str | None:
        problem = unreachable(address)
        return None if problem is None else f"the head of the Ray cluster, {address}, does not answer ({problem})"

    return look


def unreachable(address: str) -> str | None:
    """Return why no TCP connection to host:port can be made, None if one can.

    Raises:
        ValueError: the address is not host:port.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise ValueError(f"{address!r} is not host:port")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=PROBE_S).close()
    except (OSError, UnicodeError) as error:  # UnicodeError: a host of more letters than a name has
        return getattr(error, "strerror", None) or str(error) or type(error).__name__
    return None


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
