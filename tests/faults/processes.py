"""Processes of a study, found so that exactly they can be killed."""

import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import psutil

from nefstudy.ledger import TrialRow
from nefstudy.study.exporter import PROGRAM
from nefstudy.trial.log import read_log

T = TypeVar("T")

ATTEMPT = re.compile(r"attempt (\d+) at trial \S+ on \S+ pid (\d+)")


def wait_until(ask: Callable[[], T], what: str, *, timeout: float = 200) -> T:
    """The first true answer."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        found = ask()
        if found:
            return found
        time.sleep(0.2)
    raise AssertionError(f"waited {timeout:.0f} s in vain: {what}")


def actor_of(root: Path, row: TrialRow) -> psutil.Process | None:
    """The living process of a trial's present attempt, by the trial's own log."""
    said = [found for line in read_log(str(root), row.key) if (found := ATTEMPT.search(line))]
    if not said or int(said[-1][1]) != row.attempt:
        return None
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(int(said[-1][2]))
    return None


def below(pid: int, name: str) -> list[psutil.Process]:
    """Descendants of a process whose command line holds a name."""
    found = []
    for process in psutil.Process(pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if any(name in word for word in process.cmdline()[:1]):
                found.append(process)
    return found


def kinds_of(driver: int, *, postmaster: int | None) -> Mapping[str, list[psutil.Process]]:
    """The living processes of a study by what they are."""
    found: dict[str, list[psutil.Process]] = {"driver": [], "worker": [], "gcs": [], "raylet": [], "exporter": []}
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(driver)
        if process.status() != psutil.STATUS_ZOMBIE:
            found["driver"].append(process)
        for child in process.children(recursive=True):
            with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                words = child.cmdline()
                kind = next((kind for kind, is_it in _KINDS.items() if words and is_it(words)), None)
                if kind is not None:
                    found[kind].append(child)
    if postmaster is not None:
        found["backend"] = []
        with suppress(psutil.NoSuchProcess, ValueError):
            for child in psutil.Process(postmaster).children():
                with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                    if child.cmdline()[:1] and child.cmdline()[0].startswith("postgres: postgres "):
                        found["backend"].append(child)
    return found


_KINDS: Mapping[str, Callable[[list[str]], bool]] = {
    "worker": lambda words: words[0].startswith("ray::ImplicitFunc"),
    "gcs": lambda words: words[0].endswith("/gcs_server"),
    "raylet": lambda words: words[0].endswith("/raylet"),
    "exporter": lambda words: PROGRAM in words,
}


def ended(process: psutil.Process) -> bool:
    """Whether a process is over, taken note of by its parent or not."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def kill_all_of(pid: int) -> None:
    """kill -9 of a process and all below it, as a machine that loses power."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for each in [process, *process.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                each.kill()


def shards_of(root: Path) -> dict[str, bytes]:
    """The bytes of every shard by its path below the root."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("shard-*.arrow"))}
