"""A PostgreSQL server that runs for the whole test session."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Postgres:
    """A temporary PostgreSQL server that listens only on a Unix socket."""

    bin: Path
    home: Path

    @property
    def pid(self) -> int:
        return int((self.home / "data" / "postmaster.pid").read_text().splitlines()[0])

    def url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self.home}"

    def run(self, program: str, *arguments: str) -> None:
        command = [str(self.bin / program), *arguments]
        if os.getuid() == 0:  # PostgreSQL refuses to run as root
            command = ["runuser", "-u", "postgres", "--", *command]
        subprocess.run(command, check=True, cwd=self.home, stdout=subprocess.DEVNULL, timeout=60)

    def start(self) -> None:
        # without fsync, a killed server still recovers; only a power loss would lose data
        options = f"-k {self.home} -c listen_addresses='' -c shared_buffers=32MB -c fsync=off"
        log = str(self.home / "log")
        self.run("pg_ctl", "start", "-w", "-D", str(self.home / "data"), "-l", log, "-o", options)

    def stop(self, how: signal.Signals) -> None:
        """Stop the server cleanly (SIGINT) or immediately (SIGQUIT), like `pg_ctl stop -m fast|immediate`."""
        pid = self.pid
        os.kill(pid, how)
        deadline = time.monotonic() + 30
        while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
            time.sleep(0.05)


@contextmanager
def postgres_server() -> Iterator[Postgres]:
    """Start a temporary PostgreSQL server and yield it.

    Raises:
        FileNotFoundError: PostgreSQL is not installed.
    """
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if not installed:
        raise FileNotFoundError("no PostgreSQL server: apt-get install postgresql")
    home = Path(tempfile.mkdtemp(prefix="nefpg", dir="/tmp"))  # socket paths must be short
    if os.getuid() == 0:
        shutil.chown(home, "postgres")
    server = Postgres(installed[-1], home)
    try:
        server.run(
            "initdb", "-E", "UTF8", "--locale=C.UTF-8", "-U", "postgres", "-A", "trust", "-D", str(home / "data")
        )
        server.start()
        yield server
        server.stop(signal.SIGINT)
    finally:
        shutil.rmtree(home)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with ExitStack() as stack:
        try:
            server = stack.enter_context(postgres_server())
        except FileNotFoundError as error:
            pytest.skip(str(error))
        yield server
