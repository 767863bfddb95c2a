"""Where a cell's trials come from: a stream, and the one of a full grid; a search's is in `search.py`.

A stream hands out trials one by one and is told how they ended. It is built from the plan and from the
ledger's rows, so a study that is run again goes on where it stopped.
"""

from collections import deque
from collections.abc import Collection, Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from nefstudy.config import TrialConfig, parse
from nefstudy.ledger import TrialRecord, TrialRow, TrialState
from nefstudy.study.plan import CellPlan, StudyPlan, grid_trials
from nefstudy.study.record import record_of

DONE = frozenset({TrialState.COMPLETE, TrialState.FAILED, TrialState.PRUNED})
WITHDRAWN = "withdrawn"  # the cause of a trial that a user took back: no finding for a sampler


@dataclass(frozen=True)
class Suggestion:
    """One trial to run: where it belongs, what it is, and the ladder to fit if it must be fitted."""

    phase: str
    cell: str
    trial: TrialConfig
    rungs: tuple[int, ...]

    @property
    def dataset(self) -> str:
        """Digest of the neural dataset it reads."""
        return self.trial.dataset.digest

    @property
    def record(self) -> TrialRecord:
        """The trial as the ledger records it."""
        return record_of(self.trial, cell=self.cell)

    @property
    def place(self) -> tuple[str, str]:
        """Phase and key: its row in the study."""
        return self.phase, self.trial.key


class Stream(Protocol):
    """The trials of one cell in one phase."""

    @property
    def cell(self) -> CellPlan:
        """What this stream works on."""

    def next(self, busy: Collection[str]) -> Suggestion | None:
        """The next trial whose neural dataset is not being fitted (`busy`), or None for now."""

    @property
    def exhausted(self) -> bool:
        """Whether nothing will ever come again."""

    @property
    def keys(self) -> Collection[str]:
        """Keys of the trials that it counts as asked for; once exhausted, each has its row in the ledger."""

    @property
    def planned(self) -> int:
        """How many trials it plans, those that a user asked for in addition to its own included."""

    def tell(self, trial: TrialConfig, value: float | None) -> None:
        """A trial ended with this validation accuracy; None if it failed."""

    def pruned(self, trial: TrialConfig, curve: Mapping[int, float]) -> None:
        """A trial ended early, with this validation accuracy by epoch."""

    def adopt(self, trial: TrialConfig) -> None:
        """A trial of this cell was asked for by someone else: do not hand it out again."""


class GridStream:
    """Every point of a grid that the ledger does not hold yet, longest rung of each ladder first.

    Rows of the cell that were begun and have not ended come first where they are off the grid: a user asked for them.

    Args:
        done: keys that are not to be handed out, of any cell.
        begun: rows of the cell that a run is to take up again.
        ended: keys of the cell's rows that ended.
    """

    def __init__(
        self,
        plan: StudyPlan,
        cell: CellPlan,
        done: Container[str],
        *,
        begun: Iterable[TrialRow] = (),
        ended: Iterable[str] = (),
    ) -> None:
        self.cell = cell
        trials = list(grid_trials(plan, cell))
        ladders: dict[str, set[int]] = {}
        for trial in trials:
            ladders.setdefault(trial.dataset.digest, set()).add(trial.steps)
        self._rungs = {digest: tuple(sorted(steps)) for digest, steps in ladders.items()}
        planned = {trial.key for trial in trials}
        off = (parse(TrialConfig, row.config, where=row.key) for row in begun if row.key not in planned)
        wished = [trial for trial in off if trial.dataset.seed == plan.seed]  # others are replicates no longer asked
        self._waiting = deque(wished + [trial for trial in trials if trial.key not in done])
        self._wished = {trial.key for trial in wished}
        self.keys = planned | self._wished | set(ended)

    def next(self, busy: Collection[str]) -> Suggestion | None:
        """The first waiting trial whose neural dataset nobody is fitting."""
        for index, trial in enumerate(self._waiting):
            digest = trial.dataset.digest
            if digest not in busy:
                del self._waiting[index]
                rungs = (trial.steps,) if trial.key in self._wished else self._rungs[digest]
                return Suggestion(self.cell.phase, self.cell.cell, trial, rungs)
        return None

    @property
    def exhausted(self) -> bool:
        """Whether every point was handed out."""
        return not self._waiting

    @property
    def planned(self) -> int:
        """The grid's points, and the trials beside it that ended or were asked for."""
        return len(self.keys)

    def tell(self, trial: TrialConfig, value: float | None) -> None:
        """A grid learns nothing."""

    def pruned(self, trial: TrialConfig, curve: Mapping[int, float]) -> None:
        """Of a grid every point is wanted: nothing is pruned."""

    def adopt(self, trial: TrialConfig) -> None:
        """Strike the point off the grid, if it is on it or waits beside it; elsewhere, plan it in addition."""
        self.keys.add(trial.key)
        self._waiting = deque(waiting for waiting in self._waiting if waiting.key != trial.key)
