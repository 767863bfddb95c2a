"""The `Points` sampler, which runs an explicit list of points."""

import reprlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

from nefstudy.config import TrialConfig
from nefstudy.errors import BadConfig
from nefstudy.scalars import Scalar, is_point
from nefstudy.study.samplers.listed import ListedStream
from nefstudy.study.samplers.stream import Cell, History
from nefstudy.study.space import Space


@final
@dataclass(frozen=True)
class Points:
    """A sampler that runs explicit points in the given order and adds the cell's fixed parameters to each point."""

    points: Sequence[Mapping[str, Scalar]] = field(default_factory=tuple)

    is_prunable = False
    covers_space = False
    after = None

    def planned(self, space: Space, *, replicates: int) -> int:
        """Return the number of points multiplied by the replicates."""
        if not isinstance(self.points, Sequence) or not all(map(is_point, self.points)):
            value = reprlib.repr(self.points)
            raise BadConfig(
                f"Points({value}): allowed is a list of points, each a dict of numbers and strings by name; correct it"
            )
        if space or not self.points:
            raise BadConfig(
                f"Points of {len(self.points)} points and a space of {list(space)}: allowed are 1 point or more and "
                "no space; list the points and set shared values in `fixed`"
            )
        return len(self.points) * replicates

    def describe(self) -> dict[str, Any]:
        """Return the sampler as plain data."""
        return {"name": "Points", "points": [dict(point) for point in self.points]}

    def listed(self, cell: Cell) -> Iterator[TrialConfig]:
        """Yield every trial, with the replicates of a point next to each other."""
        for point in self.points:
            for replicate in range(cell.replicates):
                yield cell.trial(dict(point), replicate=replicate)

    def open(self, cell: Cell, history: History) -> ListedStream:
        """Return a stream of the points that are not in the ledger yet."""
        return ListedStream(cell, self.listed(cell), history)
