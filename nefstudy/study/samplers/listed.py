"""The stream of a sampler whose trials are known in advance."""

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from typing import final

from nefstudy.config import TrialConfig
from nefstudy.study.samplers.stream import Cell, History, Suggestion, ladders_of


@final
class ListedStream:
    """A stream of the listed trials that are not in the ledger yet, in order and without duplicates.

    Unfinished rows of the cell that are not listed come first: a user requested them.

    Args:
        share_fits: whether the first trial of a neural dataset fits all rungs that the trials need of it.
    """

    def __init__(self, cell: Cell, trials: Iterable[TrialConfig], history: History, *, share_fits: bool = True) -> None:
        self.cell = cell
        listed = list({trial.key: trial for trial in trials}.values())
        needs = cell.task.needs
        self._ladders = ladders_of(need for trial in (listed if share_fits else ()) for need in needs(trial))
        planned = {trial.key for trial in listed}
        others = [cell.read(row) for row in history.unfinished_rows if row.key not in planned]
        # rows with other seeds than the first listed trial's are replicates that are no longer planned
        seeds = {self._seeds(trial) for trial in listed[:1]}
        requested = [trial for trial in others if not seeds or self._seeds(trial) in seeds]
        waiting = [trial for trial in listed if trial.key not in history.excluded_keys]
        self._waiting = deque([cell.suggest(trial) for trial in requested])
        self._waiting.extend(cell.suggest(trial, self._ladders) for trial in waiting)
        self.keys: Collection[str] = planned | {trial.key for trial in requested} | set(history.terminal_keys)

    def _seeds(self, trial: TrialConfig) -> tuple[int, ...]:
        """Return the seeds of the neural datasets that a trial needs, or its own seed if it needs no datasets."""
        return tuple(need.recipe.seed for need in self.cell.task.needs(trial)) or (trial.seed,)

    def next(self, busy: Collection[str]) -> Suggestion | None:
        """Return the first waiting trial whose neural datasets are not busy."""
        for index, suggestion in enumerate(self._waiting):
            if not suggestion.waits_for(busy):
                del self._waiting[index]
                return suggestion
        return None

    @property
    def exhausted(self) -> bool:
        """Whether every trial has been handed out."""
        return not self._waiting

    @property
    def planned(self) -> int:
        """Number of listed trials, plus unlisted trials that have ended or were requested."""
        return len(self.keys)

    def tell(self, trial: TrialConfig, score: float | None) -> None:
        """Do nothing: the list does not depend on scores."""

    def pruned(self, trial: TrialConfig, curve: Mapping[int, float]) -> None:
        """Do nothing: the list does not depend on scores."""

    def add_requested(self, trial: TrialConfig) -> None:
        """Remove a trial from the waiting list; if it was not planned, count it as an additional planned trial."""
        self.remove(trial.key)

    def remove(self, key: str) -> None:
        """Do the same as `add_requested`, given only a trial's key."""
        self.keys = {*self.keys, key}
        self._waiting = deque(waiting for waiting in self._waiting if waiting.trial.key != key)
