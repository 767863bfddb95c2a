"""Points given one by one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

from nefstudy.config import TrialConfig
from nefstudy.errors import BadConfig
from nefstudy.scalars import Scalar
from nefstudy.study.samplers.listed import ListedStream
from nefstudy.study.samplers.stream import Cell, History
from nefstudy.study.space import Space


@final
@dataclass(frozen=True)
class Points:
    """The given points, in their order; the cell's fixed parameters are added to each."""

    points: Sequence[Mapping[str, Scalar]] = field(default_factory=tuple)

    is_prunable = False
    after = None

    def planned(self, space: Space, *, replicates: int) -> int:
        """Return the number of points times replicates."""
        if space or not self.points:
            raise BadConfig(
                f"Points takes one point or more and no space, given are {len(self.points)} points and a space of "
                f"{list(space)}; list the points, and put what they share into `fixed`"
            )
        return len(self.points) * replicates

    def describe(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"name": "Points", "points": [dict(point) for point in self.points]}

    def listed(self, cell: Cell) -> Iterator[TrialConfig]:
        """Yield every trial, a point's replicates after one another."""
        for point in self.points:
            for replicate in range(cell.replicates):
                yield cell.trial(dict(point), replicate=replicate)

    def open(self, cell: Cell, history: History) -> ListedStream:
        """Return the points that the ledger does not hold yet."""
        return ListedStream(cell, self.listed(cell), history)
