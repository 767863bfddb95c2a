"""The interfaces between samplers and the driver: `Sampler`, `Stream`, `History`, `Cell` and `Suggestion`."""

import reprlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import inf, isnan
from typing import Any, Protocol

from nefstudy.config import TrialConfig, parse
from nefstudy.errors import BadConfig
from nefstudy.ledger import TrialRecord, TrialRow
from nefstudy.scalars import canonical_json
from nefstudy.study.space import Space
from nefstudy.tasks.parameters import parameters
from nefstudy.tasks.task import Codec, Need, Objective, Point, Task
from nefstudy.trial.result_check import ExpectedResult

WITHDRAWN = "withdrawn"  # cause of a trial that a user withdrew

CellKey = tuple[str, str]
"""Phase and label of a cell."""

Ladders = Mapping[str, tuple[int, ...]]
"""Step counts to fit, by the digest of the neural dataset."""


@dataclass(frozen=True)
class Suggestion:
    """A trial that a stream suggests to run.

    Attributes:
        cell: label of its cell.
        needs: neural datasets that it reads, at one rung each; any number.
        objective: metric that its result must contain.
        ladders: step counts to fit of each neural dataset that has to be fitted.
        codec: codec of its cell, which knows the words that the cell uses for an init or a classifier.
    """

    phase: str
    cell: str
    trial: TrialConfig
    needs: tuple[Need, ...]
    objective: str
    ladders: Ladders = field(default_factory=dict)
    codec: Codec | None = field(default=None, compare=False)

    @property
    def datasets(self) -> tuple[str, ...]:
        """Digests of the neural datasets that the trial reads, without duplicates."""
        return tuple(dict.fromkeys(need.digest for need in self.needs))

    @property
    def cell_key(self) -> CellKey:
        """Phase and label of the trial's cell."""
        return self.phase, self.cell

    @property
    def ref(self) -> tuple[str, str]:
        """Phase and key, which identify the trial's row in the study."""
        return self.phase, self.trial.key

    @property
    def expected(self) -> ExpectedResult:
        """The properties that the trial's result must have."""
        return ExpectedResult(self.trial.key, self.objective, self.datasets)

    @property
    def summary(self) -> str:
        """The trial's main parameters in a few words."""
        values = parameters(self.trial.model_dump(mode="json"))
        names = [name for name in ("init", "hidden", "steps", "classifier") if name in values]
        return ", ".join(f"{name} {values[name]}" for name in names)

    @property
    def record(self) -> TrialRecord:
        """The trial's record for the ledger; a value for which the cell defines a name is stored as that name."""
        record = record_of(self.trial, cell=self.cell, needs=self.datasets)
        point = {} if self.codec is None else self.codec.point(self.trial.model_dump(mode="json"))
        words = {name: value for name, value in point.items() if name in record.parameters and isinstance(value, str)}
        return replace(record, parameters={**record.parameters, **words})

    def waits_for(self, busy: Collection[str]) -> bool:
        """Return whether a neural dataset that the trial needs is being fitted."""
        return any(digest in busy for digest in self.datasets)


@dataclass(frozen=True, eq=False)
class Cell:
    """A plan's cell in the form that its sampler receives.

    Attributes:
        label: name of the cell within its phase.
        seed: seed of the study.
        find_objective: returns the objective of its trials, which may need the signals.
        find_curve_sign: returns 1 where larger values of its task's curve are better, else -1; may need the signals.
    """

    phase: str
    label: str
    space: Space
    fixed: Point
    replicates: int
    seed: int
    task: Task
    codec: Codec
    find_objective: Callable[[], Objective]
    find_curve_sign: Callable[[], int]

    @property
    def key(self) -> CellKey:
        """Phase and label of the cell."""
        return self.phase, self.label

    @cached_property
    def objective(self) -> Objective:
        """The objective by which the cell's trials are compared."""
        return self.find_objective()

    def as_scores(self, curve: Mapping[int, float]) -> dict[int, float]:
        """Return a curve, negated if its direction differs from the objective's; NaN becomes the worst score."""
        sign = self.find_curve_sign() * self.objective.sign
        return {epoch: -self.objective.sign * inf if isnan(v) else sign * v for epoch, v in curve.items()}

    def trial(self, point: Point, *, replicate: int = 0) -> TrialConfig:
        """Return the trial at a point of the space, with the fixed parameters added.

        Raises:
            BadConfig: the point has no configuration, or the task's codec returns something else.
        """
        trial: object = self.codec.configure({**self.fixed, **point}, replicate=replicate)
        if isinstance(trial, TrialConfig):
            return trial
        raise BadConfig(
            f"{self.label}: the codec of task {self.task.name} returns {reprlib.repr(trial)}: allowed is the task's "
            "configuration; correct its `configure`"
        )

    def read(self, row: TrialRow) -> TrialConfig:
        """Return the configuration stored in a row."""
        return parse(self.task.config, row.config, where=row.key)

    def point(self, config: Mapping[str, Any]) -> Point | None:
        """Return the free parameters of a configuration; None if a parameter is missing."""
        values = self.codec.point(config)
        point = {name: values[name] for name in self.space if name in values}
        return point if len(point) == len(self.space) else None

    def suggest(self, trial: TrialConfig, ladders: Ladders | None = None) -> Suggestion:
        """Return a suggestion for a trial of this cell; without `ladders`, the trial fits only the rungs it reads."""
        needs = self.task.needs(trial)
        own = ladders_of(needs)
        chosen = {digest: (ladders or own).get(digest, rungs) for digest, rungs in own.items()}
        objective = self.objective.metric
        return Suggestion(self.phase, self.label, trial, needs, objective, chosen, self.codec)


class History(Protocol):
    """A cell's rows in the ledger at the start of a run; `excluded_keys` covers the whole phase."""

    @property
    def excluded_keys(self) -> Collection[str]:
        """Keys of the phase's trials that must not be suggested."""

    @property
    def unfinished_rows(self) -> Sequence[TrialRow]:
        """Rows of the cell that were interrupted or need a retry."""

    @property
    def terminal_keys(self) -> Collection[str]:
        """Keys of the cell's trials that have ended."""

    def rows(self) -> Sequence[TrialRow]:
        """Return every row of the cell; rows to retry have the state INTERRUPTED."""

    def curve(self, row: TrialRow) -> Mapping[int, float]:
        """Return the curve that pruners see for a row's trial: values by epoch, as converted by `Cell.as_scores`."""

    def is_complete(self, phase: str) -> bool:
        """Return whether all planned trials of the same-named cell in another phase have ended."""

    def rows_of(self, phase: str) -> Sequence[TrialRow]:
        """Return the current rows of the same-named cell in another phase."""

    def sign_of(self, phase: str) -> int:
        """Return 1 if higher scores are better in the same-named cell of another phase, -1 if lower ones are."""


class Stream(Protocol):
    """The trials of one cell in one phase."""

    @property
    def cell(self) -> Cell:
        """The cell whose trials the stream suggests."""

    @property
    def exhausted(self) -> bool:
        """Whether the stream has no further suggestions."""

    @property
    def keys(self) -> Collection[str]:
        """Keys of the planned trials; once the stream is exhausted, every key has a row in the ledger."""

    @property
    def planned(self) -> int:
        """Number of planned trials, including additional trials that a user requested."""

    def next(self, busy: Collection[str]) -> Suggestion | None:
        """Return the next trial that needs no `busy` neural dataset (one that is being fitted), or None."""

    def tell(self, trial: TrialConfig, score: float | None) -> None:
        """Record the score of a trial that has ended; the score of a failed trial is None."""

    def pruned(self, trial: TrialConfig, curve: Mapping[int, float]) -> None:
        """Record that a trial was pruned, with its curve by epoch as converted by `Cell.as_scores`."""

    def add_requested(self, trial: TrialConfig) -> None:
        """Count a user's requested trial as planned, so that the stream does not suggest it again."""


class Sampler(Protocol):
    """The rule that chooses a cell's trials, stored in the plan as a frozen dataclass."""

    @property
    def is_prunable(self) -> bool:
        """Whether the sampler searches a space, so that weak trials can be pruned and parameters ranked."""

    @property
    def covers_space(self) -> bool:
        """Whether every point of the space becomes a trial, so that one fit serves all step counts."""

    @property
    def after(self) -> str | None:
        """The phase whose same-named cell must be complete first; None if there is none."""

    def planned(self, space: Space, *, replicates: int) -> int:
        """Return the number of trials that the sampler plans.

        Raises:
            BadConfig: the space or the number of replicates is not supported.
        """

    def describe(self) -> dict[str, Any]:
        """Return the sampler as plain data with a `name`, for the ledger."""

    def listed(self, cell: Cell) -> Iterator[TrialConfig] | None:
        """Return an iterator over every trial; None if the trials depend on results."""

    def open(self, cell: Cell, history: History) -> Stream:
        """Return a stream of the cell's trials that are not in the ledger yet."""


def ladders_of(needs: Iterable[Need]) -> Ladders:
    """Return the rungs of each neural dataset that `needs` requires, in ascending order."""
    rungs: dict[str, set[int]] = {}
    for need in needs:
        rungs.setdefault(need.digest, set()).add(need.rung)
    return {digest: tuple(sorted(steps)) for digest, steps in rungs.items()}


def record_of(trial: TrialConfig, *, cell: str, needs: Sequence[str]) -> TrialRecord:
    """Return a trial as a record for the ledger.

    Args:
        needs: digests of the neural datasets that it reads.
    """
    config = trial.model_dump(mode="json")
    return TrialRecord(
        key=trial.key,
        task=trial.task,
        cell=cell,
        seed=trial.seed,
        config=canonical_json(config),
        parameters={name: value for name, value in parameters(config).items() if name != "task"},
        needs=tuple(needs),
        dataset=next(iter(needs), None),
    )
