"""A measure of SQLite's work that does not depend on the computer: the number of virtual machine steps."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event
from sqlalchemy.pool import Pool

EVERY = 100  # steps of SQLite's virtual machine between two counts


@contextmanager
def counted_steps() -> Iterator[Callable[[Callable[[], object]], int]]:
    """Yield a function that counts SQLite's virtual machine steps during a call, to within 100 per statement."""
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
