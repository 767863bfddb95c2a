"""Tests of ledgers without write access, such as on a read-only mount or in another user's directory."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nefstudy.ledger import Ledger

from .records import as_cells

NOBODY = 65534


@pytest.fixture
def finished(finish: Callable) -> Iterator[Path]:
    """Yield a world-readable directory with a closed ledger of two trials."""
    root = Path(tempfile.mkdtemp(prefix="nefro", dir="/tmp"))
    root.chmod(0o755)
    with Ledger.open(str(root / "ledger.db")) as ledger:
        ledger.studies.put("digits", {}, cells=as_cells({("phase1", "digits8/siren"): 2}))
        for seed in range(2):
            finish(ledger, seed)
    yield root
    root.chmod(0o755)
    shutil.rmtree(root)


def as_nobody(act: Callable[[], None], *, drive: Callable[[], None] = lambda: None) -> str:
    """Run `act` in an unprivileged child process and `drive` in this process; return the child's error, or ""."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            if os.getuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            act()
        except BaseException as error:
            os.write(writing, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(writing)
    drive()
    os.waitpid(child, 0)
    with os.fdopen(reading) as output:
        return output.read()


def read(root: Path) -> None:
    with Ledger.open(str(root / "ledger.db"), read_only=True, timeout_s=1.0) as ledger:
        assert len(ledger.trials.page("digits").rows) == 2


def test_closed_ledger_is_readable_without_write_access(finished):
    """A closed ledger in a directory without write access is readable, and no file is created next to it."""
    finished.chmod(0o555)
    assert as_nobody(lambda: read(finished)) == ""
    assert [path.name for path in finished.iterdir()] == ["ledger.db"]


def test_read_only_file_is_readable(finished):
    """A ledger in a read-only file can be read if its directory is writable."""
    (finished / "ledger.db").chmod(0o444)
    finished.chmod(0o777)
    assert as_nobody(lambda: read(finished)) == ""


def test_write_without_write_access_is_refused_in_one_line(finished):
    """Writing to a ledger without write access raises a one-line BadLedger error."""
    finished.chmod(0o555)

    def write() -> None:
        with Ledger.open(str(finished / "ledger.db"), timeout_s=1.0) as ledger:
            ledger.events.append("digits", "note")

    error = as_nobody(write)
    assert error.startswith("BadLedger: ")
    assert "\n" not in error


def test_unmerged_changes_are_named_in_one_line(finished, trial):
    """Without write access, BadLedger names ledger.db-wal if a killed driver left commits in it.

    SQLite cannot create the -shm file that it needs to read those commits.
    """
    with Ledger.open(str(finished / "ledger.db")) as ledger:
        ledger.events.append("digits", "note")
        copy = Path(tempfile.mkdtemp(prefix="nefro", dir="/tmp"))
        for name in ("ledger.db", "ledger.db-wal"):
            shutil.copy(finished / name, copy / name)
    try:
        copy.chmod(0o555)
        error = as_nobody(lambda: read(copy))
    finally:
        shutil.rmtree(copy)
    assert error.startswith("BadLedger: ")
    assert "ledger.db-wal" in error
    assert "\n" not in error


def test_running_driver_is_followed_without_write_access(finished):
    """A reader without write access sees the commits of a running driver.

    It still sees them after the driver has closed the ledger.
    """
    finished.chmod(0o755)

    def look() -> None:
        with Ledger.follow(str(finished / "ledger.db"), timeout_s=1.0) as book:
            counts.append(len(book.events.since(0, limit=100)))
            for _ in range(2):
                os.write(asked[1], b"x")
                os.read(answered[0], 1)
                counts.append(len(book.events.since(0, limit=100)))
        assert counts[0] + 1 == counts[1], counts
        assert counts[1] + 1 == counts[2], counts

    counts: list[int] = []  # used by the child process
    asked, answered = os.pipe(), os.pipe()

    def drive() -> None:
        os.read(asked[0], 1)
        ledger = Ledger.open(str(finished / "ledger.db"))
        ledger.events.append("digits", "note")
        os.write(answered[1], b"x")
        os.read(asked[0], 1)
        ledger.events.append("digits", "note")
        ledger.close()
        os.write(answered[1], b"x")

    assert as_nobody(look, drive=drive) == ""
    for end in (*asked, *answered):
        os.close(end)
