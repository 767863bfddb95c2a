"""Functions that find a study's processes, so that tests kill only those."""

import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import psutil

from nefstudy.ledger import TrialRow
from nefstudy.study.exchange.mlflow_export import PROGRAM
from nefstudy.trial.log import read_log

T = TypeVar("T")

ATTEMPT = re.compile(r"attempt (\d+) at trial \S+ on \S+ pid (\d+)")


def wait_until(ask: Callable[[], T | None], what: str, *, timeout: float = 200) -> T:
    """Call `ask` until it returns a true value; return that value."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        answer = ask()
        if answer:
            return answer
        time.sleep(0.2)
    raise AssertionError(f"timed out after {timeout:.0f} s: {what}")


def actor_of(root: Path, row: TrialRow) -> psutil.Process | None:
    """Return the process that runs a trial's current attempt, as recorded in the trial's log."""
    attempts = [match for line in read_log(str(root), row.key) if (match := ATTEMPT.search(line))]
    if not attempts or int(attempts[-1][1]) != row.attempt:
        return None
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(int(attempts[-1][2]))
    return None


def below(pid: int, name: str) -> list[psutil.Process]:
    """Return a process's descendants whose program name contains the given name."""
    matching = []
    for process in psutil.Process(pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if any(name in word for word in process.cmdline()[:1]):
                matching.append(process)
    return matching


def kinds_of(driver: int, *, postmaster: int | None) -> Mapping[str, list[psutil.Process]]:
    """Return a study's running processes by kind."""
    processes: dict[str, list[psutil.Process]] = {"driver": [], "worker": [], "gcs": [], "raylet": [], "exporter": []}
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(driver)
        if process.status() != psutil.STATUS_ZOMBIE:
            processes["driver"].append(process)
        for child in process.children(recursive=True):
            with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                words = child.cmdline()
                kind = next((kind for kind, is_it in _KINDS.items() if words and is_it(words)), None)
                if kind is not None:
                    processes[kind].append(child)
    if postmaster is not None:
        processes["backend"] = []
        with suppress(psutil.NoSuchProcess, ValueError):
            for child in psutil.Process(postmaster).children():
                with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                    if child.cmdline()[:1] and child.cmdline()[0].startswith("postgres: postgres "):
                        processes["backend"].append(child)
    return processes


_KINDS: Mapping[str, Callable[[list[str]], bool]] = {
    "worker": lambda words: words[0].startswith("ray::ImplicitFunc"),
    "gcs": lambda words: words[0].endswith("/gcs_server"),
    "raylet": lambda words: words[0].endswith("/raylet"),
    "exporter": lambda words: PROGRAM in words,
}


def ended(process: psutil.Process) -> bool:
    """Return whether a process has ended, including a process that its parent has not reaped yet."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def kill_all_of(pid: int) -> None:
    """Kill a process and all its descendants with SIGKILL, as if their machine lost power."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for each in [process, *process.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                each.kill()


def shards_of(root: Path) -> dict[str, bytes]:
    """Return the content of each shard by the shard's path relative to the root."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("shard-*.arrow"))}
