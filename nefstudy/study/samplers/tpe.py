"""A search by tree-structured Parzen estimators."""

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
from nefstudy.study.points import distribution, sampler_params, scaled
from nefstudy.study.samplers.stream import DONE, Cell, History, Suggestion
from nefstudy.study.space import Space, space_size
from nefstudy.tasks.task import Point

FEW_REPEATS = 10  # suggestions in a row that were all known before an untried point of a small space is taken
LISTED_POINTS = 1000  # of a space that is small
MAX_REPEATS = 100  # suggestions in a row that were all known before a search ends as exhausted
FAIL, PRUNED = optuna.trial.TrialState.FAIL, optuna.trial.TrialState.PRUNED


@final
@dataclass(frozen=True)
class Tpe:
    """A budget of suggestions by TPE (Bergstra et al. 2011) in the direction of the cell's objective."""

    trials: int

    is_prunable = True
    after = None

    def planned(self, space: Space, *, replicates: int) -> int:
        """Return the budget, or the number of points of a smaller space."""
        if self.trials < 1 or replicates != 1:
            raise BadConfig(
                f"Tpe({self.trials}) with {replicates} replicates: give 1 trial or more and no replicates, which "
                "only samplers that list their points have"
            )
        size = space_size(space)
        return self.trials if size is None else min(self.trials, size)

    def describe(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"name": "Tpe", "trials": self.trials}

    def listed(self, cell: Cell) -> Iterator[TrialConfig] | None:
        """Return None: suggestions depend on results."""

    def open(self, cell: Cell, history: History) -> "TpeStream":
        """Return the suggestions that are left of the budget."""
        return TpeStream(self.trials, cell, history)


@final
class TpeStream:
    """Suggestions from a TPE sampler held in memory.

    Rows of the ledger are replayed into the sampler's memory; rows that were interrupted are handed out again before
    anything new, so that the budget counts distinct trials. A suggestion that needs a neural dataset that is being
    fitted is held until it is not, and nothing else is suggested until then: the sampler would ask for similar points
    again, and a driver that dies leaves no row of the suggestion, so the next one asks its own sampler.
    """

    def __init__(self, budget: int, cell: Cell, history: History) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        rows = history.rows()
        self.cell = cell
        self._budget = budget
        self._distributions = {name: distribution(dimension) for name, dimension in cell.space.items()}
        self._again = deque(cell.read(row) for row in rows if row.state not in DONE)
        self._known = {row.key for row in rows}
        self._size = space_size(cell.space)
        self._outside = {row.key for row in rows if self._size is not None and self._params(row.config) is None}
        self._ended = False  # nothing new came of many suggestions
        self._rows = rows
        self._curves = {row.key: history.curve(row) for row in rows if row.state is TrialState.PRUNED}
        self._asked: dict[str, optuna.Trial] = {}
        self._held: TrialConfig | None = None

    @cached_property
    def _study(self) -> optuna.Study:
        """The sampler's memory of what the ledger held; filling it takes 0.2 ms a row, so it waits until asked."""
        cell = self.cell
        seed = integer(cell.seed, "tpe", cell.phase, cell.label, len(self._rows)) % 2**32
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=_startup(self._budget))
        study = optuna.create_study(direction=cell.objective.direction, sampler=sampler)
        for row in self._rows:
            if row.state is TrialState.PRUNED:
                study.add_trials(self._pruned_before(row.config, self._curves[row.key]))
            elif row.state in DONE:
                study.add_trials(self._told(row.config, row.score))
        return study

    def next(self, busy: Collection[str]) -> Suggestion | None:
        """Return an interrupted trial, else a new suggestion, held back while what it needs is being fitted."""
        if self._again:
            again = self.cell.suggest(self._again[0])
            if not again.waits_for(busy):
                self._again.popleft()
                return again
        trial = self._held or self._new()
        suggestion = None if trial is None else self.cell.suggest(trial)
        is_held = suggestion is not None and suggestion.waits_for(busy)
        self._held = trial if is_held else None
        return None if is_held else suggestion

    def _new(self) -> TrialConfig | None:
        """Return a point not asked for before; report known ones to the sampler as failed."""
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
        """Have the sampler suggest the first point of its space that is not known yet, if there is one."""
        for values in product(*map(_values, self._distributions.values())):
            params = dict(zip(self._distributions, values, strict=True))
            if self._trial(params).key not in self._known:
                self._study.enqueue_trial(params)
                return

    def _trial(self, params: Mapping[str, Any]) -> TrialConfig:
        return self.cell.trial(scaled(self.cell.space, params))

    @property
    def planned(self) -> int:
        """The budget, or the points of a smaller space and the trials outside it; what was tried, if it ended early."""
        if self._ended:
            return len(self._known)
        return self._budget if self._size is None else min(self._budget, self._size + len(self._outside))

    @property
    def _left(self) -> int:
        return self.planned - len(self._known)

    @property
    def keys(self) -> Collection[str]:
        """Keys of the trials that count against the budget, those that users asked for included."""
        return self._known

    @property
    def exhausted(self) -> bool:
        """Whether the budget is spent."""
        return not self._again and self._held is None and self._left <= 0

    def tell(self, trial: TrialConfig, score: float | None) -> None:
        """Add a trial's score to the sampler's memory; a failed one as failed."""
        asked = self._asked.pop(trial.key, None)
        if asked is None:
            self._known.add(trial.key)
            self._study.add_trials(self._told(trial.model_dump(mode="json"), score))
        elif score is None:
            self._study.tell(asked, state=FAIL)
        else:
            self._study.tell(asked, score)

    def pruned(self, trial: TrialConfig, curve: Mapping[int, float]) -> None:
        """Add an early end: TPE ranks it below complete trials, by how far it came and how good it was there."""
        asked = self._asked.pop(trial.key, None)
        if asked is None:
            self._known.add(trial.key)
            self._study.add_trials(self._pruned_before(trial.model_dump(mode="json"), curve))
            return
        for epoch, value in curve.items():
            asked.report(value, epoch)
        self._study.tell(asked, state=PRUNED)

    def _told(self, config: Mapping[str, Any], score: float | None) -> list[optuna.trial.FrozenTrial]:
        return self._ended_before(config, state=FAIL) if score is None else self._ended_before(config, value=score)

    def _pruned_before(self, config: Mapping[str, Any], curve: Mapping[int, float]) -> list[optuna.trial.FrozenTrial]:
        last = curve[max(curve)] if curve else None  # as Optuna scores a pruned trial
        return self._ended_before(config, state=PRUNED, value=last, intermediate_values=dict(curve))

    def _ended_before(self, config: Mapping[str, Any], **ending: Any) -> list[optuna.trial.FrozenTrial]:
        """Return a trial that this sampler did not ask for as its memory takes it; none outside the space."""
        params = self._params(config)
        if params is None:
            return []
        return [optuna.trial.create_trial(params=params, distributions=self._distributions, **ending)]

    def _params(self, config: Mapping[str, Any]) -> Point | None:
        return sampler_params(self.cell.space, self.cell.point(config))

    def adopt(self, trial: TrialConfig) -> None:
        """Count a new trial against the budget; one that is known costs nothing and is not handed out again."""
        self._again = deque(waiting for waiting in self._again if waiting.key != trial.key)
        if self._held is not None and self._held.key == trial.key:
            self._held = None
        if trial.key not in self._known:
            self._known.add(trial.key)
            if self._size is not None and self._params(trial.model_dump(mode="json")) is None:
                self._outside.add(trial.key)


def _values(distribution: BaseDistribution) -> Sequence[Any]:
    """Every value of a distribution that has finitely many."""
    match distribution:
        case CategoricalDistribution(choices=choices):
            return tuple(choices)
        case IntDistribution(low=low, high=high):
            return range(low, high + 1)
        case FloatDistribution(low=low):
            return (low,)
    raise AssertionError(distribution)


def _startup(budget: int) -> int:
    """Random points before TPE takes over: Optuna's 10, but at most a third of a small budget."""
    return max(1, min(10, budget // 3))
