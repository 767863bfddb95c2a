"""Where a cell's trials come from: a full grid, or a TPE sampler with a memory of its own.

A stream hands out trials one by one and is told how they ended. It is built from the plan and from the
ledger's rows, so a study that is run again goes on where it stopped.
"""

from collections import deque
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import optuna

from nefstudy.config import TrialConfig, parse
from nefstudy.ledger import Ledger, TrialRow, TrialState
from nefstudy.seeds import integer
from nefstudy.study.judge import ledger_curve
from nefstudy.study.plan import CellPlan, StudyPlan, grid_trials, trial_config
from nefstudy.study.points import distribution, sampler_params, scaled
from nefstudy.study.rules import is_to_do

DONE = frozenset({TrialState.COMPLETE, TrialState.FAILED, TrialState.PRUNED})
MAX_REPEATS = 100  # suggestions in a row that were all known before a search ends as exhausted


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

    def tell(self, trial: TrialConfig, value: float | None) -> None:
        """A trial ended with this validation accuracy; None if it failed."""

    def pruned(self, trial: TrialConfig, curve: Mapping[int, float]) -> None:
        """A trial ended early, with this validation accuracy by epoch."""

    def adopt(self, trial: TrialConfig) -> None:
        """A trial of this cell was asked for by someone else: do not hand it out again."""


class GridStream:
    """Every point of a grid that the ledger does not hold yet, longest rung of each ladder first.

    Rows of the cell that were begun and have not ended come first where they are off the grid: somebody wished them.
    """

    def __init__(
        self, plan: StudyPlan, cell: CellPlan, done: Container[str], *, begun: Iterable[TrialRow] = ()
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
        self.keys = planned | self._wished

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

    def tell(self, trial: TrialConfig, value: float | None) -> None:
        """A grid learns nothing."""

    def pruned(self, trial: TrialConfig, curve: Mapping[int, float]) -> None:
        """Of a grid every point is wanted: nothing is pruned."""

    def adopt(self, trial: TrialConfig) -> None:
        """Strike the point off the grid, if it is on it or waits beside it."""
        self.keys.add(trial.key)
        self._waiting = deque(waiting for waiting in self._waiting if waiting.key != trial.key)


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
        self._left = (cell.trials or 0) - len(rows)
        self._known = {row.key for row in rows}
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
            elif row.state in DONE:
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
        for _ in range(MAX_REPEATS):
            asked = self._study.ask(self._distributions)
            trial = trial_config(self._plan, self.cell, {**self.cell.fixed, **scaled(self.cell, asked.params)})
            if trial.key not in self._known:
                self._left -= 1
                self._known.add(trial.key)
                self._asked[trial.key] = asked
                return trial
            self._study.tell(asked, state=optuna.trial.TrialState.FAIL)
        self._left = 0
        return None

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
        params = sampler_params(self.cell, config, classifiers=self._plan.classifiers)
        if params is None:
            return []
        return [optuna.trial.create_trial(params=params, distributions=self._distributions, **ending)]

    def adopt(self, trial: TrialConfig) -> None:
        """Count a new trial against the budget; one that is known costs nothing, and is not handed out again."""
        self._again = deque(waiting for waiting in self._again if waiting.key != trial.key)
        if self._held is not None and self._held.key == trial.key:
            self._held = None
        if trial.key not in self._known:
            self._known.add(trial.key)
            self._left = max(0, self._left - 1)

    def _suggestion(self, trial: TrialConfig) -> Suggestion:
        return Suggestion(self.cell.phase, self.cell.cell, trial, (trial.steps,))


def open_streams(plan: StudyPlan, ledger: Ledger) -> Iterator[Stream]:
    """The streams of all cells, phase by phase, continued from what the ledger holds."""
    for phase in plan.phases:
        states = ledger.states(plan.study, phase=phase)
        failed = ledger.trials(plan.study, phase=phase, state=TrialState.FAILED, limit=None).rows
        cut = ledger.trials(plan.study, phase=phase, state=TrialState.INTERRUPTED, limit=None).rows
        begun = [row for row in (*cut, *failed) if row.state is TrialState.INTERRUPTED or is_to_do(row)]
        anew = {row.key for row in failed if is_to_do(row)}
        done = {key for (_, key), (state, _) in states.items() if state in DONE and key not in anew}
        for cell in (cell for cell in plan.cells if cell.phase == phase):
            if cell.trials is None:
                yield GridStream(plan, cell, done, begun=[row for row in begun if row.cell == cell.cell])
            else:
                found = ledger.trials(plan.study, phase=phase, cell=cell.cell, limit=None).rows
                rows = [replace(row, state=TrialState.INTERRUPTED) if row.key in anew else row for row in found]
                yield SearchStream(plan, cell, rows, pruned=_curves(ledger, rows))


def _curves(ledger: Ledger, rows: Iterable[TrialRow]) -> dict[str, dict[int, float]]:
    """Validation accuracy by epoch of the pruned rows, by key."""
    pruned = (row for row in rows if row.state is TrialState.PRUNED)
    return {row.key: ledger_curve(ledger.curves(row.study, row.phase, key=row.key)) for row in pruned}


def _startup(budget: int) -> int:
    """Random points before TPE takes over: Optuna's 10, but at most a third of a small budget."""
    return max(1, min(10, budget // 3))
