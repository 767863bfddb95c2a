"""A study whose driver is started again whenever it ended, for tests that kill it again and again."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from .conftest import Driver

T = TypeVar("T")

REPLICATES = 8  # as a start; as many more are asked for whenever all are done
RESTARTS = 5  # a worker killed too often stops a study, as it should; it is there to be continued
FINISH_S = 1200.0


@dataclass
class Rerun:
    """A study whose driver is started again by the same command whenever it ended.

    Attributes:
        start: starts a driver with the arguments given.
        replicates: asked for; more whenever all are done.
        starts: drivers started so far.
    """

    start: Callable[..., Driver]
    replicates: int = REPLICATES
    starts: int = 0
    driver: Driver = field(init=False)

    def __post_init__(self) -> None:
        self._start()

    def go_on(self) -> None:
        """Start the driver again unless it lives; for more trials if it has done all."""
        code = self.driver.process.poll()
        if code == 0:
            self.replicates += REPLICATES
        if code is not None:
            self._start()

    def finish(self, timeout: float = FINISH_S) -> None:
        """Run to the end, undisturbed.

        Raises:
            AssertionError: it does not end as complete.
        """
        for _ in range(RESTARTS):
            if self.driver.end(timeout) == 0:
                return
            self._start()
        assert self.driver.end(timeout) == 0, self.driver.said()

    def _start(self) -> None:
        self.driver = self.start("--replicates", self.replicates)
        self.starts += 1


def dealt(kinds: list[T], moment: random.Random) -> Iterator[T]:
    """Every kind once in each round, the rounds in random orders, without end."""
    while True:
        yield from moment.sample(kinds, len(kinds))
