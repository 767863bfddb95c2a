"""The `Random` sampler, which draws independent random points of a space."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, final

from nefstudy.config import TrialConfig
from nefstudy.errors import BadConfig
from nefstudy.seeds import stream
from nefstudy.study.samplers.listed import ListedStream
from nefstudy.study.samplers.stream import Cell, History
from nefstudy.study.space import Space, drawn, space_size

MOST_REPEATS = 100  # repeated draws in a row after which a small space counts as exhausted


@final
@dataclass(frozen=True)
class Random:
    """A sampler that draws distinct points uniformly, or log-uniformly for logarithmic dimensions.

    Draw i depends only on the study's seed, the cell and i, so a larger budget extends a smaller one.
    """

    trials: int

    is_prunable = True
    covers_space = False
    after = None

    def planned(self, space: Space, *, replicates: int) -> int:
        """Return the number of draws, limited by the size of the space, multiplied by the replicates."""
        if not isinstance(self.trials, int) or self.trials < 1:
            raise BadConfig(f"Random({self.trials!r}): set 1 trial or more")
        size = space_size(space)
        return (self.trials if size is None else min(self.trials, size)) * replicates

    def describe(self) -> dict[str, Any]:
        """Return the sampler as plain data."""
        return {"name": "Random", "trials": self.trials}

    def listed(self, cell: Cell) -> Iterator[TrialConfig]:
        """Yield every trial, with the replicates of a point next to each other."""
        drawn_keys: set[str] = set()
        draw = repeats = 0
        while len(drawn_keys) < self.planned(cell.space, replicates=1) and repeats < MOST_REPEATS:
            rng = stream(cell.seed, "random search", cell.phase, cell.label, draw)
            point = {name: drawn(dimension, rng.random()) for name, dimension in cell.space.items()}
            draw += 1
            first = cell.trial(point)
            if first.key in drawn_keys:
                repeats += 1
                continue
            repeats = 0
            drawn_keys.add(first.key)
            yield first
            yield from (cell.trial(point, replicate=replicate) for replicate in range(1, cell.replicates))

    def open(self, cell: Cell, history: History) -> ListedStream:
        """Return a stream of the draws that are not in the ledger yet."""
        return ListedStream(cell, self.listed(cell), history)
