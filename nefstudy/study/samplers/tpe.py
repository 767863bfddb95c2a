"""The `Tpe` sampler, which searches a space with tree-structured Parzen estimators."""

from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, final

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from nefstudy.config import TrialConfig
from nefstudy.errors import BadConfig
from nefstudy.ledger import TrialState
from nefstudy.seeds import integer
from nefstudy.study.samplers.distributions import distribution, sampler_params, scaled
from nefstudy.study.samplers.stream import Cell, History, Suggestion
from nefstudy.study.space import Space, space_size
from nefstudy.tasks.task import Point

FEW_REPEATS = 10  # repeated suggestions in a row after which an untried point of a small space is taken
LISTED_POINTS = 1000  # most points of a small space
MAX_REPEATS = 100  # repeated suggestions in a row after which a search ends as exhausted
FAIL, PRUNED = optuna.trial.TrialState.FAIL, optuna.trial.TrialState.PRUNED


@final
@dataclass(frozen=True)
class Tpe:
    """A sampler that spends a budget of trials on a TPE search (Bergstra et al. 2011) for the cell's objective."""

    trials: int

    is_prunable = True
    covers_space = False
    after = None

    def planned(self, space: Space, *, replicates: int) -> int:
        """Return the budget, or the size of the space if that is smaller."""
        if not isinstance(self.trials, int) or self.trials < 1 or replicates != 1:
            raise BadConfig(
                f"Tpe({self.trials!r}) with {replicates} replicates: set 1 trial or more and 1 replicate; only "
                "samplers that list their points support more"
            )
        size = space_size(space)
        return self.trials if size is None else min(self.trials, size)

    def describe(self) -> dict[str, Any]:
        """Return the sampler as plain data."""
        return {"name": "Tpe", "trials": self.trials}

    def listed(self, cell: Cell) -> Iterator[TrialConfig] | None:
        """Return None: suggestions depend on results."""

    def open(self, cell: Cell, history: History) -> "TpeStream":
        """Return a stream that suggests trials until the budget is spent."""
        return TpeStream(self.trials, cell, history)


@final
class TpeStream:
    """A stream of suggestions from Optuna's TPE sampler, whose state is kept in memory.

    Rows of the ledger are replayed into the sampler's memory. Interrupted rows are suggested again before anything
    new, so that the budget counts distinct trials. A suggestion that needs a neural dataset being fitted is held until
    that fit ends, and nothing else is suggested until then: the sampler would only repeat similar points. A driver
    that dies leaves no row for a held suggestion, so the next driver asks its own sampler.
    """

    def __init__(self, budget: int, cell: Cell, history: History) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        rows = history.rows()
        self.cell = cell
        self._budget = budget
        self._distributions = {name: distribution(dimension) for name, dimension in cell.space.items()}
        self._interrupted = deque(cell.read(row) for row in rows if not row.state.is_terminal)
        self._known = {row.key for row in rows}
        self._size = space_size(cell.space)
        self._outside = {row.key for row in rows if self._size is not None and self._params(row.config) is None}
        self._ended = False  # many suggestions in a row were repeats
        self._rows = rows
        self._curves = {row.key: history.curve(row) for row in rows if row.state is TrialState.PRUNED}
        self._asked: dict[str, optuna.Trial] = {}
        self._held: TrialConfig | None = None

    @cached_property
    def _study(self) -> optuna.Study:
        """The Optuna study that holds the ledger's rows; loading it on first use takes 0.2 ms per row."""
        cell = self.cell
        seed = integer(cell.seed, "tpe", cell.phase, cell.label, len(self._rows)) % 2**32
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=_startup(self._budget))
        study = optuna.create_study(direction=cell.objective.direction, sampler=sampler)
        for row in self._rows:
            if row.state is TrialState.PRUNED:
                study.add_trials(self._pruned_before(row.config, self._curves[row.key]))
            elif row.state.is_terminal:
                study.add_trials(self._scored_before(row.config, row.score))
        return study

    def next(self, busy: Collection[str]) -> Suggestion | None:
        """Return an interrupted trial or a new suggestion, which is held while its neural dataset is being fitted."""
        if self._interrupted:
            interrupted = self.cell.suggest(self._interrupted[0])
            if not interrupted.waits_for(busy):
                self._interrupted.popleft()
                return interrupted
        trial = self._held or self._new()
        suggestion = None if trial is None else self.cell.suggest(trial)
        is_held = suggestion is not None and suggestion.waits_for(busy)
        self._held = trial if is_held else None
        return None if is_held else suggestion

    def _new(self) -> TrialConfig | None:
        """Return a trial at a new point; repeated points are reported to the sampler as failed."""
        if self._left <= 0:
            return None
        for repeats in range(MAX_REPEATS):
            if repeats >= FEW_REPEATS and self._size is not None and self._size <= LISTED_POINTS:
                self._offer_untried()
            asked = self._study.ask(self._distributions)
            trial = self._trial(asked.params)
            if trial.key not in self._known:
                self._known.add(trial.key)
                self._asked[trial.key] = asked
                return trial
            self._study.tell(asked, state=FAIL)
        self._ended = True
        return None

    def _offer_untried(self) -> None:
        """Make the sampler suggest an untried point of its space next, if such a point exists."""
        for values in product(*map(_values, self._distributions.values())):
            params = dict(zip(self._distributions, values, strict=True))
            if self._trial(params).key not in self._known:
                self._study.enqueue_trial(params)
                return

    def _trial(self, params: Mapping[str, Any]) -> TrialConfig:
        return self.cell.trial(scaled(self.cell.space, params))

    @property
    def planned(self) -> int:
        """Number of planned trials: the budget, or fewer in a small space or once the search is over.

        A budget that was lowered below the number of known trials counts all of them.
        """
        if self._ended:
            return len(self._known)
        budget = self._budget if self._size is None else min(self._budget, self._size + len(self._outside))
        return max(budget, len(self._known))

    @property
    def _left(self) -> int:
        return self.planned - len(self._known)

    @property
    def keys(self) -> Collection[str]:
        """Keys of the trials that count against the budget, including requested trials."""
        return self._known

    @property
    def exhausted(self) -> bool:
        """Whether the budget is spent."""
        return not self._interrupted and self._held is None and self._left <= 0

    def tell(self, trial: TrialConfig, score: float | None) -> None:
        """Add a trial's score to the sampler's memory; None marks the trial as failed."""
        asked = self._asked.pop(trial.key, None)
        if asked is None:
            self._known.add(trial.key)
            self._study.add_trials(self._scored_before(trial.model_dump(mode="json"), score))
        elif score is None:
            self._study.tell(asked, state=FAIL)
        else:
            self._study.tell(asked, score)

    def pruned(self, trial: TrialConfig, curve: Mapping[int, float]) -> None:
        """Add a pruned trial; TPE ranks it below complete trials, by its last epoch and value."""
        asked = self._asked.pop(trial.key, None)
        if asked is None:
            self._known.add(trial.key)
            self._study.add_trials(self._pruned_before(trial.model_dump(mode="json"), curve))
            return
        for epoch, value in curve.items():
            asked.report(value, epoch)
        self._study.tell(asked, state=PRUNED)

    def _scored_before(self, config: Mapping[str, Any], score: float | None) -> list[optuna.trial.FrozenTrial]:
        return self._ended_before(config, state=FAIL) if score is None else self._ended_before(config, value=score)

    def _pruned_before(self, config: Mapping[str, Any], curve: Mapping[int, float]) -> list[optuna.trial.FrozenTrial]:
        last = curve[max(curve)] if curve else None  # as Optuna scores a pruned trial
        return self._ended_before(config, state=PRUNED, value=last, intermediate_values=dict(curve))

    def _ended_before(self, config: Mapping[str, Any], **ending: Any) -> list[optuna.trial.FrozenTrial]:
        """Return a list with an Optuna trial for an earlier configuration; empty if that is outside the space."""
        params = self._params(config)
        if params is None:
            return []
        return [optuna.trial.create_trial(params=params, distributions=self._distributions, **ending)]

    def _params(self, config: Mapping[str, Any]) -> Point | None:
        return sampler_params(self.cell.space, self.cell.point(config))

    def add_requested(self, trial: TrialConfig) -> None:
        """Count a requested trial against the budget unless it is already counted; it will not be suggested again."""
        self._interrupted = deque(waiting for waiting in self._interrupted if waiting.key != trial.key)
        if self._held is not None and self._held.key == trial.key:
            self._held = None
        if trial.key not in self._known:
            self._known.add(trial.key)
            if self._size is not None and self._params(trial.model_dump(mode="json")) is None:
                self._outside.add(trial.key)


def _values(distribution: BaseDistribution) -> Sequence[Any]:
    """Return all values of a finite distribution."""
    match distribution:
        case CategoricalDistribution(choices=choices):
            return tuple(choices)
        case IntDistribution(low=low, high=high):
            return range(low, high + 1)
        case FloatDistribution(low=low):
            return (low,)
    raise AssertionError(distribution)


def _startup(budget: int) -> int:
    """Return the number of random points before TPE starts: Optuna's 10, or a third of the budget if smaller."""
    return max(1, min(10, budget // 3))
