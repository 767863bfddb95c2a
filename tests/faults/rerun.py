"""A study whose driver is restarted whenever it ends, for tests that kill the driver repeatedly."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from .driver import Driver

T = TypeVar("T")

REPLICATES = 8  # initial number, and the increment whenever all are done
RESTARTS = 5  # frequent kills of workers abort a study, as they should; it can be continued
FINISH_S = 1200.0


@dataclass
class Rerun:
    """A study whose driver is restarted with the same command whenever it ends.

    Attributes:
        start: starts a driver with the given arguments.
        replicates: requested replicates; increased whenever all are done.
        starts: number of drivers started so far.
    """

    start: Callable[..., Driver]
    replicates: int = REPLICATES
    starts: int = 0
    driver: Driver = field(init=False)

    def __post_init__(self) -> None:
        self._start()

    def restart_if_ended(self) -> None:
        """Restart the driver if it has ended.

        If all trials were complete, request more replicates.
        """
        code = self.driver.process.poll()
        if code == 0:
            self.replicates += REPLICATES
        if code is not None:
            self._start()

    def finish(self, timeout: float = FINISH_S) -> None:
        """Run the study to its end without injecting further faults.

        Raises:
            AssertionError: the study does not complete.
        """
        for _ in range(RESTARTS):
            if self.driver.end(timeout) == 0:
                return
            self._start()
        assert self.driver.end(timeout) == 0, self.driver.output()

    def _start(self) -> None:
        self.driver = self.start("--replicates", self.replicates)
        self.starts += 1


def shuffled_rounds(kinds: list[T], moment: random.Random) -> Iterator[T]:
    """Yield kinds of processes endlessly, in rounds that each contain every kind once, in random order."""
    while True:
        yield from moment.sample(kinds, len(kinds))
