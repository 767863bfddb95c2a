"""A full grid over listed values."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, final

from nefstudy.config import TrialConfig
from nefstudy.errors import BadConfig
from nefstudy.study.samplers.listed import ListedStream
from nefstudy.study.samplers.stream import Cell, History
from nefstudy.study.space import Space, grid_points, grid_size

MOST = 1_000_000  # trials of a cell


@final
@dataclass(frozen=True)
class Grid:
    """Every point of the space, the longest fit first, so that one fit's ladder serves the points after it."""

    is_prunable = False
    after = None

    def planned(self, space: Space, *, replicates: int) -> int:
        """Return the number of points times replicates."""
        size = grid_size(space) * replicates
        if size > MOST:
            raise BadConfig(f"a grid of {size:,} trials; at most {MOST:,} are allowed: list fewer values or use Tpe(N)")
        return size

    def describe(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"name": "Grid"}

    def listed(self, cell: Cell) -> Iterator[TrialConfig]:
        """Yield every trial, the longest rung of each ladder first."""
        for point in grid_points(cell.space, cell.fixed):
            for replicate in range(cell.replicates):
                yield cell.codec.configure(point, replicate=replicate)

    def open(self, cell: Cell, history: History) -> ListedStream:
        """Return the points that the ledger does not hold yet."""
        return ListedStream(cell, self.listed(cell), history)
