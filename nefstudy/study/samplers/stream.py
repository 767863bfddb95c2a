"""What samplers, their streams and the driver say to one another."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from nefstudy.config import TrialConfig, parse
from nefstudy.ledger import TrialRecord, TrialRow, TrialState
from nefstudy.study.record import record_of
from nefstudy.study.space import Space
from nefstudy.tasks.parameters import parameters
from nefstudy.tasks.task import Codec, Need, Objective, Point, Task
from nefstudy.trial.checked import Expected

DONE = frozenset({TrialState.COMPLETE, TrialState.FAILED, TrialState.PRUNED})
WITHDRAWN = "withdrawn"  # the cause of a trial that a user took back

Ladders = Mapping[str, tuple[int, ...]]
"""Step counts to fit, by the digest of a neural dataset."""


@dataclass(frozen=True)
class Suggestion:
    """One trial to run.

    Attributes:
        cell: label of its cell.
        needs: neural datasets that it reads.
        objective: metric that its result must hold.
        ladders: step counts to fit of each neural dataset, if it has to be fitted.
    """

    phase: str
    cell: str
    trial: TrialConfig
    needs: tuple[Need, ...]
    objective: str
    ladders: Ladders = field(default_factory=dict)

    @property
    def datasets(self) -> tuple[str, ...]:
        """Digests of the neural datasets that it reads."""
        return tuple(need.digest for need in self.needs)

    @property
    def place(self) -> tuple[str, str]:
        """Phase and key: its row in the study."""
        return self.phase, self.trial.key

    @property
    def expected(self) -> Expected:
        """What is known of its result before it is there."""
        return Expected(self.trial.key, self.objective, self.datasets)

    @property
    def summary(self) -> str:
        """Its main parameters in a few words."""
        known = parameters(self.trial.model_dump(mode="json"))
        return ", ".join(f"{name} {known[name]}" for name in ("init", "hidden", "steps", "classifier") if name in known)

    @property
    def record(self) -> TrialRecord:
        """What the ledger keeps of it."""
        return record_of(self.trial, cell=self.cell, needs=self.datasets)

    def waits_for(self, busy: Collection[str]) -> bool:
        """Return whether a neural dataset that it needs is being fitted."""
        return any(digest in busy for digest in self.datasets)


@dataclass(frozen=True, eq=False)
class Cell:
    """A cell of a plan as its sampler sees it.

    Attributes:
        label: name of the cell within its phase.
        seed: of the study.
        find_objective: looks up what its trials are compared by, which may need the signals.
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

    @cached_property
    def objective(self) -> Objective:
        """What its trials are compared by."""
        return self.find_objective()

    def trial(self, point: Point, *, replicate: int = 0) -> TrialConfig:
        """Return the trial at a point of the space; fixed parameters are added."""
        return self.codec.configure({**self.fixed, **point}, replicate=replicate)

    def read(self, row: TrialRow) -> TrialConfig:
        """Return the configuration of a row."""
        return parse(self.task.config, row.config, where=row.key)

    def point(self, config: Mapping[str, Any]) -> Point | None:
        """Return a configuration's free parameters; None where it lacks one."""
        known = self.codec.point(config)
        point = {name: known[name] for name in self.space if name in known}
        return point if len(point) == len(self.space) else None

    def suggest(self, trial: TrialConfig, ladders: Ladders | None = None) -> Suggestion:
        """Return a trial of this cell as a suggestion; without ladders only the rungs that it reads are fitted."""
        needs = self.task.needs(trial)
        own = {need.digest: (need.rung,) for need in needs}
        chosen = {digest: (ladders or own).get(digest, rungs) for digest, rungs in own.items()}
        return Suggestion(self.phase, self.label, trial, needs, self.objective.metric, chosen)


class History(Protocol):
    """What the ledger holds of a cell when a run begins; `done` are keys of its whole phase."""

    @property
    def done(self) -> Collection[str]:
        """Keys that are not to be handed out."""

    @property
    def begun(self) -> Sequence[TrialRow]:
        """Open rows and rows to repeat."""

    @property
    def ended(self) -> Collection[str]:
        """Keys of rows that ended."""

    def rows(self) -> Sequence[TrialRow]:
        """Return every row of the cell as requested; those to be repeated are INTERRUPTED."""

    def curve(self, row: TrialRow) -> Mapping[int, float]:
        """Return a row's curve that pruners watch, by epoch."""

    def is_complete(self, phase: str) -> bool:
        """Return whether every planned trial of another phase's cell of the same label has ended, as of now."""

    def rows_of(self, phase: str) -> Sequence[TrialRow]:
        """Return the rows of the cell of the same label in another phase, as of now."""


class Stream(Protocol):
    """The trials of one cell in one phase."""

    @property
    def cell(self) -> Cell:
        """The cell that it works on."""

    @property
    def exhausted(self) -> bool:
        """Whether it will not suggest anything again."""

    @property
    def keys(self) -> Collection[str]:
        """Keys of the trials that it counts as planned; once exhausted, each has its row in the ledger."""

    @property
    def planned(self) -> int:
        """Number of trials that it plans, those that a user asked for in addition to its own included."""

    def next(self, busy: Collection[str]) -> Suggestion | None:
        """Return the next trial that needs nothing `busy` (being fitted); None for now."""

    def tell(self, trial: TrialConfig, score: float | None) -> None:
        """Record that a trial ended with this score; None if it failed."""

    def pruned(self, trial: TrialConfig, curve: Mapping[int, float]) -> None:
        """Record that a trial ended early, with its curve by epoch."""

    def adopt(self, trial: TrialConfig) -> None:
        """Plan a trial that a user asked for, and do not suggest it again."""


class Sampler(Protocol):
    """How a cell's trials are chosen; a frozen dataclass in the plan."""

    @property
    def is_prunable(self) -> bool:
        """Whether it searches a space, so that weak trials may end early and parameters can be ranked."""

    @property
    def after(self) -> str | None:
        """Phase whose cell of the same label must be complete first; None for none."""

    def planned(self, space: Space, *, replicates: int) -> int:
        """Return how many trials it asks for.

        Raises:
            BadConfig: a space or a number of replicates that it cannot work with.
        """

    def describe(self) -> dict[str, Any]:
        """Return it as plain data with a `name`, for the ledger."""

    def listed(self, cell: Cell) -> Iterator[TrialConfig] | None:
        """Yield every trial where they are known before any ends; None where they depend on results."""

    def open(self, cell: Cell, history: History) -> Stream:
        """Return the cell's trials that the ledger does not hold yet."""
