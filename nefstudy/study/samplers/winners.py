"""The best points of an earlier phase, tried again."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from math import isfinite, prod
from typing import Any, final

from nefstudy.config import TrialConfig
from nefstudy.errors import BadConfig
from nefstudy.ledger import TrialRow, TrialState
from nefstudy.study.samplers.listed import ListedStream
from nefstudy.study.samplers.stream import Cell, History, Stream, Suggestion
from nefstudy.study.space import Space, count
from nefstudy.tasks.task import Point


@final
@dataclass(frozen=True)
class Winners:
    """The k best trials of each group of an earlier phase's cell of the same label.

    The cell's space names the parameters that are taken over; `fixed` gives the others, which may differ from the
    earlier phase's, as a larger subset or another classifier do. Nothing is suggested until that phase is complete.

    Args:
        by: parameters whose values make a group; without any, all trials are one group.
    """

    phase: str
    k: int = 1
    by: tuple[str, ...] = ()

    is_prunable = False

    @property
    def after(self) -> str:
        """The phase that it waits for."""
        return self.phase

    def planned(self, space: Space, *, replicates: int) -> int:
        """Return the most that it may ask for: k of each combination of the values of `by`, times replicates."""
        missing = [name for name in self.by if name not in space]
        if self.k < 1 or missing:
            raise BadConfig(
                f"Winners(k={self.k}, by={list(self.by)}): k must be 1 or more and each name one of the space's "
                f"{list(space)}; correct it"
            )
        return self.k * prod(count(space[name]) for name in self.by) * replicates

    def describe(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"name": "Winners", "phase": self.phase, "k": self.k, "by": list(self.by)}

    def listed(self, cell: Cell) -> Iterator[TrialConfig] | None:
        """Return None: which points win depends on results."""

    def open(self, cell: Cell, history: History) -> Stream:
        """Return a stream that opens once the earlier phase is complete."""
        return WinnersStream(self, cell, history)


@final
class WinnersStream:
    """Waits for the earlier phase, then lists its winners."""

    def __init__(self, sampler: Winners, cell: Cell, history: History) -> None:
        self.cell = cell
        self._sampler, self._history = sampler, history
        self._listed: ListedStream | None = None
        self._adopted: set[str] = set()

    def next(self, busy: Collection[str]) -> Suggestion | None:
        """Return the next winner; None while the earlier phase is not complete."""
        listed = self._opened()
        return None if listed is None else listed.next(busy)

    def _opened(self) -> ListedStream | None:
        if self._listed is None and self._history.is_complete(self._sampler.phase):
            self._listed = ListedStream(self.cell, self._trials(), self._history)
            for key in self._adopted:
                self._listed.strike(key)
        return self._listed

    def _trials(self) -> Iterator[TrialConfig]:
        for point in self._points():
            for replicate in range(self.cell.replicates):
                yield self.cell.trial(point, replicate=replicate)

    def _points(self) -> Iterator[Point]:
        """Yield the winners' points, best first within each group; equal scores by key."""
        sign = self.cell.objective.sign
        groups: dict[tuple[object, ...], list[tuple[float, str, Point]]] = defaultdict(list)
        for row in self._history.rows_of(self._sampler.phase):
            point = self.cell.point(row.config) if _counts(row) else None
            if point is not None and row.score is not None:
                group = tuple(point[name] for name in self._sampler.by)
                groups[group].append((-sign * row.score, row.key, point))
        for found in groups.values():
            distinct: list[Point] = []
            for _, _, point in sorted(found, key=lambda item: item[:2]):
                if point not in distinct:
                    distinct.append(point)
            yield from distinct[: self._sampler.k]

    @property
    def exhausted(self) -> bool:
        """Whether the winners are known and all were handed out."""
        listed = self._opened()
        return listed is not None and listed.exhausted

    @property
    def keys(self) -> Collection[str]:
        """Keys of the winners once they are known, and of trials that a user asked for."""
        return self._adopted if self._listed is None else self._listed.keys

    @property
    def planned(self) -> int:
        """The winners once they are known; before that, the most there may be."""
        if self._listed is not None:
            return self._listed.planned
        return self._sampler.planned(self.cell.space, replicates=self.cell.replicates)

    def tell(self, trial: TrialConfig, score: float | None) -> None:
        """Do nothing: the winners do not depend on their own scores."""

    def pruned(self, trial: TrialConfig, curve: Mapping[int, float]) -> None:
        """Do nothing: winners are not pruned."""

    def adopt(self, trial: TrialConfig) -> None:
        """Do not suggest a trial that a user asked for."""
        self._adopted.add(trial.key)
        if self._listed is not None:
            self._listed.adopt(trial)


def _counts(row: TrialRow) -> bool:
    return row.state is TrialState.COMPLETE and row.score is not None and isfinite(row.score)
