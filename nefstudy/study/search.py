"""A cell's search: a TPE sampler with a memory of its own."""

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from itertools import product
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from nefstudy.config import TrialConfig, parse
from nefstudy.ledger import TrialRow, TrialState
from nefstudy.seeds import integer
from nefstudy.study.plan import CellPlan, StudyPlan, trial_config
from nefstudy.study.points import distribution, sampler_params, scaled
from nefstudy.study.space import Point, space_size
from nefstudy.study.streams import DONE, WITHDRAWN, Suggestion

FEW_REPEATS = 10  # suggestions in a row that were all known before an untried point of a small space is taken
LISTED_POINTS = 1000  # of a space that is small
MAX_REPEATS = 100  # suggestions in a row that were all known before a search ends as exhausted


class SearchStream:
    """A budget of TPE suggestions (Bergstra et al. 2011), maximising validation accuracy.

    Rows of the ledger are replayed into the sampler's memory; rows that were interrupted are handed out
    again before anything new, so that the budget counts distinct trials. A suggestion whose neural dataset is
    being fitted is held until it is not, and nothing else is suggested meanwhile: the sampler would ask for the
    like again, and a driver that dies leaves no row of it, so the next one asks its own sampler.
    """

    def __init__(
        self,
        plan: StudyPlan,
        cell: CellPlan,
        rows: Sequence[TrialRow],
        *,
        pruned: Mapping[str, Mapping[int, float]] | None = None,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.cell = cell
        self._plan = plan
        self._distributions = {name: distribution(dimension) for name, dimension in cell.space.items()}
        self._again = deque(parse(TrialConfig, row.config, where=row.key) for row in rows if row.state not in DONE)
        self._known = {row.key for row in rows}
        self._size = space_size(cell.space)
        self._outside = {row.key for row in rows if self._size is not None and self._params(row.config) is None}
        self._ended = False  # nothing new came of many suggestions
        self._rows, self._curves = rows, pruned or {}
        self._asked: dict[str, optuna.Trial] = {}
        self._held: TrialConfig | None = None

    @cached_property
    def _study(self) -> optuna.Study:
        """The sampler's memory of what the ledger held; filling it takes 0.2 ms a row, so it waits until asked."""
        cell = self.cell
        seed = integer(self._plan.seed, "tpe", cell.phase, cell.cell, len(self._rows)) % 2**32
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=_startup(cell.trials or 0))
        study = optuna.create_study(direction="maximize", sampler=sampler)
        for row in self._rows:
            if row.state is TrialState.PRUNED:
                study.add_trials(self._pruned_before(row.config, self._curves.get(row.key, {})))
            elif row.state in DONE and row.cause != WITHDRAWN:
                study.add_trials(self._ended_before(row.config, value=row.val_accuracy or 0.0))
        return study

    def next(self, busy: Collection[str]) -> Suggestion | None:
        """An interrupted trial, else a new suggestion, held back while somebody fits what it reads."""
        if self._again and self._again[0].dataset.digest not in busy:
            return self._suggestion(self._again.popleft())
        trial = self._held or self._new()
        self._held = trial if trial is not None and trial.dataset.digest in busy else None
        return None if trial is None or self._held is not None else self._suggestion(trial)

    def _new(self) -> TrialConfig | None:
        """A point not asked for before; one that was is told its answer and asked again."""
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
            self._study.tell(asked, state=optuna.trial.TrialState.FAIL)
        self._ended = True
        return None

    def _offer_untried(self) -> None:
        """Have the sampler suggest the first point of its space that is not known yet; nothing if all are."""
        for values in product(*map(_values, self._distributions.values())):
            params = dict(zip(self._distributions, values, strict=True))
            if self._trial(params).key not in self._known:
                self._study.enqueue_trial(params)
                return

    def _trial(self, params: Mapping[str, Any]) -> TrialConfig:
        return trial_config(self._plan, self.cell, {**self.cell.fixed, **scaled(self.cell, params)})

    @property
    def planned(self) -> int:
        """The budget, or the points of a smaller space and the trials outside it; what was tried, if it ended early."""
        if self._ended:
            return len(self._known)
        budget = self.cell.trials or 0
        return budget if self._size is None else min(budget, self._size + len(self._outside))

    @property
    def _left(self) -> int:
        return self.planned - len(self._known)

    @property
    def keys(self) -> Collection[str]:
        """Keys of the trials that count against the budget, whoever asked for them."""
        return self._known

    @property
    def exhausted(self) -> bool:
        """Whether the budget is spent."""
        return not self._again and self._held is None and self._left <= 0

    def tell(self, trial: TrialConfig, value: float | None) -> None:
        """Add what a trial found to the sampler's memory; a failed one counts as accuracy 0."""
        asked = self._asked.pop(trial.key, None)
        if asked is not None:
            self._study.tell(asked, value if value is not None else 0.0)
        else:
            self._known.add(trial.key)
            config = trial.model_dump(mode="json")
            self._study.add_trials(self._ended_before(config, value=value if value is not None else 0.0))

    def pruned(self, trial: TrialConfig, curve: Mapping[int, float]) -> None:
        """Add an early end: TPE ranks it below complete trials, by how far it came and how good it was there."""
        asked = self._asked.pop(trial.key, None)
        if asked is None:
            self._known.add(trial.key)
            self._study.add_trials(self._pruned_before(trial.model_dump(mode="json"), curve))
            return
        for epoch, value in curve.items():
            asked.report(value, epoch)
        self._study.tell(asked, state=optuna.trial.TrialState.PRUNED)

    def _pruned_before(self, config: Mapping[str, Any], curve: Mapping[int, float]) -> list[optuna.trial.FrozenTrial]:
        last = curve[max(curve)] if curve else None  # as Optuna has it of a trial it is told is pruned
        pruned = optuna.trial.TrialState.PRUNED
        return self._ended_before(config, state=pruned, value=last, intermediate_values=dict(curve))

    def _ended_before(self, config: Mapping[str, Any], **ending: Any) -> list[optuna.trial.FrozenTrial]:
        """A trial that this sampler did not ask for, as its memory takes it; none if it lies outside the space."""
        params = self._params(config)
        if params is None:
            return []
        return [optuna.trial.create_trial(params=params, distributions=self._distributions, **ending)]

    def _params(self, config: Mapping[str, Any]) -> Point | None:
        return sampler_params(self.cell, config, classifiers=self._plan.classifiers)

    def adopt(self, trial: TrialConfig) -> None:
        """Count a new trial against the budget; one that is known costs nothing, and is not handed out again."""
        self._again = deque(waiting for waiting in self._again if waiting.key != trial.key)
        if self._held is not None and self._held.key == trial.key:
            self._held = None
        if trial.key not in self._known:
            self._known.add(trial.key)
            if self._size is not None and self._params(trial.model_dump(mode="json")) is None:
                self._outside.add(trial.key)

    def _suggestion(self, trial: TrialConfig) -> Suggestion:
        return Suggestion(self.cell.phase, self.cell.cell, trial, (trial.steps,))


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
