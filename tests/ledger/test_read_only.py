"""A ledger where nothing can be written: a read-only mount, or somebody else's directory."""

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
    """A directory that everybody can read, with a ledger of two trials that was closed."""
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
    """Run `act` in a child without the right to write and `drive` here; returns the child's error, if any."""
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
    with os.fdopen(reading) as said:
        return said.read()


def read(root: Path) -> None:
    with Ledger.open(str(root / "ledger.db"), read_only=True, patience_s=1.0) as ledger:
        assert len(ledger.trials.page("digits").rows) == 2


def test_a_closed_ledger_is_read_where_nothing_can_be_written(finished):
    """Nothing is created next to it."""
    finished.chmod(0o555)
    assert as_nobody(lambda: read(finished)) == ""
    assert [path.name for path in finished.iterdir()] == ["ledger.db"]


def test_a_ledger_that_cannot_be_written_itself_is_read(finished):
    """A copy without the right to write, in a directory of one's own."""
    (finished / "ledger.db").chmod(0o444)
    finished.chmod(0o777)
    assert as_nobody(lambda: read(finished)) == ""


def test_a_write_to_a_ledger_where_nothing_can_be_written_is_refused_in_one_line(finished):
    finished.chmod(0o555)

    def write() -> None:
        with Ledger.open(str(finished / "ledger.db"), patience_s=1.0) as ledger:
            ledger.events.append("digits", "note")

    said = as_nobody(write)
    assert said.startswith("BadLedger: ")
    assert "\n" not in said


def test_changes_that_were_not_merged_are_named_in_one_line(finished, trial):
    """A driver that was killed left its last commits in ledger.db-wal; without -shm they cannot be read there."""
    with Ledger.open(str(finished / "ledger.db")) as ledger:
        ledger.events.append("digits", "note")
        copy = Path(tempfile.mkdtemp(prefix="nefro", dir="/tmp"))
        for name in ("ledger.db", "ledger.db-wal"):
            shutil.copy(finished / name, copy / name)
    try:
        copy.chmod(0o555)
        said = as_nobody(lambda: read(copy))
    finally:
        shutil.rmtree(copy)
    assert said.startswith("BadLedger: ")
    assert "ledger.db-wal" in said
    assert "\n" not in said


def test_a_living_driver_is_followed_without_the_right_to_write(finished):
    """Its -wal and -shm can be read, so its commits are seen; once it has closed them, what follows is seen as well."""
    finished.chmod(0o755)

    def look() -> None:
        with Ledger.follow(str(finished / "ledger.db"), patience_s=1.0) as book:
            counts.append(len(book.events.since(0, limit=100)))
            for _ in range(2):
                os.write(asked[1], b"x")
                os.read(answered[0], 1)
                counts.append(len(book.events.since(0, limit=100)))
        assert counts[0] + 1 == counts[1], counts
        assert counts[1] + 1 == counts[2], counts

    counts: list[int] = []  # the child's
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
