"""The stream of samplers whose trials are known before any ends."""

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from typing import final

from nefstudy.config import TrialConfig
from nefstudy.study.samplers.stream import Cell, History, Suggestion


@final
class ListedStream:
    """Given trials that the ledger does not hold yet, in their order.

    Open rows of the cell that are not among them come first: a user asked for them.

    Args:
        share_fits: fit all rungs of a neural dataset that the trials name with its first trial.
    """

    def __init__(self, cell: Cell, trials: Iterable[TrialConfig], history: History, *, share_fits: bool = True) -> None:
        self.cell = cell
        listed = list(trials)
        rungs: dict[str, set[int]] = {}
        for trial in listed if share_fits else ():
            for need in cell.task.needs(trial):
                rungs.setdefault(need.digest, set()).add(need.rung)
        self._ladders = {digest: tuple(sorted(steps)) for digest, steps in rungs.items()}
        planned = {trial.key for trial in listed}
        others = [cell.read(row) for row in history.begun if row.key not in planned]
        # of other seeds are replicates that are no longer asked for
        requested = [t for t in others if all(need.recipe.seed == cell.seed for need in cell.task.needs(t))]
        waiting = [trial for trial in listed if trial.key not in history.done]
        self._waiting = deque([cell.suggest(trial) for trial in requested])
        self._waiting.extend(cell.suggest(trial, self._ladders) for trial in waiting)
        self.keys: Collection[str] = planned | {trial.key for trial in requested} | set(history.ended)

    def next(self, busy: Collection[str]) -> Suggestion | None:
        """Return the first waiting trial that needs nothing busy."""
        for index, suggestion in enumerate(self._waiting):
            if not suggestion.waits_for(busy):
                del self._waiting[index]
                return suggestion
        return None

    @property
    def exhausted(self) -> bool:
        """Whether every trial was handed out."""
        return not self._waiting

    @property
    def planned(self) -> int:
        """The listed trials, and those in addition that ended or were asked for."""
        return len(self.keys)

    def tell(self, trial: TrialConfig, score: float | None) -> None:
        """Do nothing: the list does not depend on scores."""

    def pruned(self, trial: TrialConfig, curve: Mapping[int, float]) -> None:
        """Do nothing: the list does not depend on scores."""

    def adopt(self, trial: TrialConfig) -> None:
        """Remove the trial from the list if it waits there; plan it in addition if it is not listed."""
        self.strike(trial.key)

    def strike(self, key: str) -> None:
        """As `adopt`, of a trial known by its key alone."""
        self.keys = {*self.keys, key}
        self._waiting = deque(waiting for waiting in self._waiting if waiting.trial.key != key)
