"""What SQLite does for an answer, counted: the same number on any machine, where milliseconds are not."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event
from sqlalchemy.pool import Pool

EVERY = 100  # steps of its virtual machine between two counts


@contextmanager
def counted_steps() -> Iterator[Callable[[Callable[[], object]], int]]:
    """A function that says how many steps of SQLite's virtual machine an act takes, to a hundred a statement."""
    taken = 0

    def step() -> None:
        nonlocal taken
        taken += EVERY

    def watch(connection: Any, *_: object) -> None:
        connection.set_progress_handler(step, EVERY)

    def steps_of(act: Callable[[], object]) -> int:
        before = taken
        act()
        return taken - before

    event.listen(Pool, "checkout", watch)
    try:
        yield steps_of
    finally:
        event.remove(Pool, "checkout", watch)
