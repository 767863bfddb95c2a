"""The `Winners` sampler, which reruns the best points of an earlier phase."""

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
    """A sampler that reruns the k best trials of each group in the same-named cell of an earlier phase.

    The cell's space names the parameters that are taken over. `fixed` sets the others, which may differ from the
    earlier phase, such as a larger subset or another classifier. The best are those by the earlier phase's objective.
    Nothing is suggested until that phase is complete.

    Args:
        by: parameters whose values define a group; without any, all trials are one group.
    """

    phase: str
    k: int = 1
    by: tuple[str, ...] = ()

    is_prunable = False
    covers_space = False

    @property
    def after(self) -> str:
        """The phase for which this sampler waits."""
        return self.phase

    def planned(self, space: Space, *, replicates: int) -> int:
        """Return the maximum number of trials: k per combination of the `by` values, times the replicates."""
        listed = isinstance(self.by, tuple | list) and all(name in space for name in self.by)
        if not isinstance(self.k, int) or self.k < 1 or not listed:
            raise BadConfig(
                f"Winners(k={self.k!r}, by={self.by!r}): k must be 1 or more and `by` a list of names from the space "
                f"{list(space)}; correct it"
            )
        return self.k * prod(count(space[name]) for name in self.by) * replicates

    def describe(self) -> dict[str, Any]:
        """Return the sampler as plain data."""
        return {"name": "Winners", "phase": self.phase, "k": self.k, "by": list(self.by)}

    def listed(self, cell: Cell) -> Iterator[TrialConfig] | None:
        """Return None, because the winners depend on results."""

    def open(self, cell: Cell, history: History) -> Stream:
        """Return a stream that suggests nothing until the earlier phase is complete."""
        return WinnersStream(self, cell, history)


@final
class WinnersStream:
    """A stream that waits for the earlier phase and then lists its winners."""

    def __init__(self, sampler: Winners, cell: Cell, history: History) -> None:
        self.cell = cell
        self._sampler, self._history = sampler, history
        self._listed: ListedStream | None = None
        self._requested: set[str] = set()

    def next(self, busy: Collection[str]) -> Suggestion | None:
        """Return the next winner; None until the earlier phase is complete."""
        listed = self._opened()
        return None if listed is None else listed.next(busy)

    def _opened(self) -> ListedStream | None:
        if self._listed is None and self._history.is_complete(self._sampler.phase):
            self._listed = ListedStream(self.cell, self._trials(), self._history)
            for key in self._requested:
                self._listed.remove(key)
        return self._listed

    def _trials(self) -> Iterator[TrialConfig]:
        for point in self._points():
            for replicate in range(self.cell.replicates):
                yield self.cell.trial(point, replicate=replicate)

    def _points(self) -> Iterator[Point]:
        """Yield the winners' points, best first within each group; ties are broken by key."""
        sign = self._history.sign_of(self._sampler.phase)
        groups: dict[tuple[object, ...], list[tuple[float, str, Point]]] = defaultdict(list)
        for row in self._history.rows_of(self._sampler.phase):
            point = self.cell.point(row.config) if _counts(row) else None
            if point is not None and row.score is not None:
                group = tuple(point[name] for name in self._sampler.by)
                groups[group].append((-sign * row.score, row.key, point))
        for members in groups.values():
            distinct: list[Point] = []
            for _, _, point in sorted(members, key=lambda item: item[:2]):
                if point not in distinct:
                    distinct.append(point)
            yield from distinct[: self._sampler.k]

    @property
    def exhausted(self) -> bool:
        """Whether the winners are known and have all been suggested."""
        listed = self._opened()
        return listed is not None and listed.exhausted

    @property
    def keys(self) -> Collection[str]:
        """Keys of the requested trials, and also of the winners once these are known."""
        return self._requested if self._listed is None else self._listed.keys

    @property
    def planned(self) -> int:
        """Number of winners once the winners are known; before that, their maximum number."""
        if self._listed is not None:
            return self._listed.planned
        return self._sampler.planned(self.cell.space, replicates=self.cell.replicates)

    def tell(self, trial: TrialConfig, score: float | None) -> None:
        """Do nothing: the winners do not depend on their own scores."""

    def pruned(self, trial: TrialConfig, curve: Mapping[int, float]) -> None:
        """Do nothing: winners are not pruned."""

    def add_requested(self, trial: TrialConfig) -> None:
        """Exclude a requested trial from the suggestions."""
        self._requested.add(trial.key)
        if self._listed is not None:
            self._listed.add_requested(trial)


def _counts(row: TrialRow) -> bool:
    return row.state is TrialState.COMPLETE and row.score is not None and isfinite(row.score)
