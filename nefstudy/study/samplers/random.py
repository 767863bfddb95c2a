"""Independent draws from a space."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, final

from nefstudy.config import TrialConfig
from nefstudy.errors import BadConfig
from nefstudy.seeds import stream
from nefstudy.study.samplers.listed import ListedStream
from nefstudy.study.samplers.stream import Cell, History
from nefstudy.study.space import Space, drawn, space_size

MOST_REPEATS = 100  # draws in a row that were all drawn before, after which a small space counts as exhausted


@final
@dataclass(frozen=True)
class Random:
    """Distinct points drawn uniformly, or log-uniformly in logarithmic dimensions.

    Draw i depends on the study's seed, the cell and i alone, so that a larger budget extends a smaller one.
    """

    trials: int

    is_prunable = True
    after = None

    def planned(self, space: Space, *, replicates: int) -> int:
        """Return the number of draws, at most as many as the space holds points, times replicates."""
        if self.trials < 1:
            raise BadConfig(f"Random({self.trials}): give a number of trials of 1 or more")
        size = space_size(space)
        return (self.trials if size is None else min(self.trials, size)) * replicates

    def describe(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"name": "Random", "trials": self.trials}

    def listed(self, cell: Cell) -> Iterator[TrialConfig]:
        """Yield every trial, a point's replicates after one another."""
        found: set[str] = set()
        draw = repeats = 0
        while len(found) < self.planned(cell.space, replicates=1) and repeats < MOST_REPEATS:
            rng = stream(cell.seed, "random search", cell.phase, cell.label, draw)
            point = {name: drawn(dimension, rng.random()) for name, dimension in cell.space.items()}
            draw += 1
            first = cell.trial(point)
            if first.key in found:
                repeats += 1
                continue
            repeats = 0
            found.add(first.key)
            yield first
            yield from (cell.trial(point, replicate=replicate) for replicate in range(1, cell.replicates))

    def open(self, cell: Cell, history: History) -> ListedStream:
        """Return the draws that the ledger does not hold yet."""
        return ListedStream(cell, self.listed(cell), history)
