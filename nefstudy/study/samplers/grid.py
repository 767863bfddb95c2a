"""The `Grid` sampler, which runs every combination of a cell's listed values."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, final

from nefstudy.config import TrialConfig
from nefstudy.errors import BadConfig
from nefstudy.study.samplers.listed import ListedStream
from nefstudy.study.samplers.stream import Cell, History
from nefstudy.study.space import Space, grid_points, grid_size

MOST = 1_000_000  # trials per cell


@final
@dataclass(frozen=True)
class Grid:
    """A sampler that runs every point of the space, longest fits first, since their ladders serve shorter fits too."""

    is_prunable = False
    covers_space = True
    after = None

    def planned(self, space: Space, *, replicates: int) -> int:
        """Return the number of points multiplied by the replicates."""
        size = grid_size(space) * replicates
        if size > MOST:
            raise BadConfig(f"a grid of {size:,} trials; at most {MOST:,} are allowed: list fewer values or use Tpe(N)")
        return size

    def describe(self) -> dict[str, Any]:
        """Return the sampler as plain data."""
        return {"name": "Grid"}

    def listed(self, cell: Cell) -> Iterator[TrialConfig]:
        """Yield every trial, in order of decreasing step count."""
        for point in grid_points(cell.space, cell.fixed):
            for replicate in range(cell.replicates):
                yield cell.trial(point, replicate=replicate)

    def open(self, cell: Cell, history: History) -> ListedStream:
        """Return a stream of the points that are not in the ledger yet."""
        return ListedStream(cell, self.listed(cell), history)
