"""Tasks: the computation of one trial, and everything that a study needs to know about it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal, Protocol, get_args

from nefstudy.config import ClassifierConfig, InitConfig, NeuralDatasetConfig, SignalsConfig, TrialConfig
from nefstudy.errors import BadConfig
from nefstudy.names import metric_name
from nefstudy.scalars import Scalar
from nefstudy.signals.signal import SignalKind
from nefstudy.tasks.result import TrialResult
from nefstudy.tasks.setting import Catalogs, Setting

Direction = Literal["maximize", "minimize"]
Split = Literal["train", "val", "test", "all"]
COMMON_SECTIONS = (
    "ladders", "best", "best-over-time", "pace", "initialization", "importance", "parallel", "replicates", "savings",
    "reconstructions", "failures", "stopped",
)  # fmt: skip
Point = dict[str, Scalar]
"""Parameter values by name; each task has a codec between points and configurations."""


@dataclass(frozen=True)
class Metric:
    """A number that a trial reports.

    Attributes:
        direction: which values are better; None for a number that is neither good nor bad, such as a count.
        split: the signals it is measured on; None for a number of the whole trial.
        domain: the range of its values if they are bounded, for axes.
        chance: its value for a guess, where that is known; figures draw it as a line.
    """

    name: str
    label: str
    unit: str = ""
    direction: Direction | None = None
    split: Split | None = None
    domain: tuple[float, float] | None = None
    chance: float | None = None

    def __post_init__(self) -> None:
        metric_name(self.name)
        for what, value, allowed in (("direction", self.direction, Direction), ("split", self.split, Split)):
            if value is not None and value not in get_args(allowed):
                raise BadConfig(
                    f"metric {self.name!r}: {what} {value!r}: allowed are {', '.join(get_args(allowed))} and None; "
                    "correct the task"
                )
        domain = self.domain if self.domain is None or isinstance(self.domain, tuple | list) else (self.domain,)
        checks = (
            ("label", self.label, isinstance(self.label, str), "a text"),
            ("unit", self.unit, isinstance(self.unit, str), "a text"),
            ("chance", self.chance, self.chance is None or _is_finite(self.chance), "a finite number or None"),
            ("domain", domain, domain is None or _is_range(domain), "two finite numbers, the lower first, or None"),
        )
        for name, given, is_allowed, needed in checks:
            if not is_allowed:
                raise BadConfig(f"metric {self.name!r}: {name} {given!r}: allowed is {needed}; correct the task")


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and isfinite(value)


def _is_range(ends: Sequence[object]) -> bool:
    return len(ends) == 2 and all(map(_is_finite, ends)) and list(ends) == sorted(ends)  # type: ignore[type-var]


@dataclass(frozen=True)
class SignalTraits:
    """The properties of signals that determine a task's metrics and objective.

    Attributes:
        split: whether they are split into training, validation and test signals.
        test: whether a split has test signals; a search has none.
        count: how many there are; None where that is not known.
        classes: number of their classes; 0 without labels.
    """

    kind: SignalKind
    split: bool = True
    test: bool = True
    count: int | None = None
    classes: int = 0

    @property
    def held_out(self) -> Split:
        """The split of held-out signals for pictures and features: test, or validation if there are no test signals."""
        return "test" if self.test else "val"


@dataclass(frozen=True)
class Objective:
    """The metric by which the trials of a cell are compared, and whether larger or smaller values are better.

    Attributes:
        metric: name of the metric whose raw value is a trial's score.
    """

    metric: str
    direction: Direction = "maximize"

    def __post_init__(self) -> None:
        if self.direction not in ("maximize", "minimize"):
            raise BadConfig(f"direction {self.direction!r}: must be maximize or minimize; correct the objective")

    @property
    def sign(self) -> int:
        """1 if larger scores are better, otherwise -1, so that larger values of sign * score are always better."""
        return 1 if self.direction == "maximize" else -1


@dataclass(frozen=True)
class Need:
    """A neural dataset that a trial needs, and the rung of it that the trial reads."""

    recipe: NeuralDatasetConfig
    rung: int

    @property
    def digest(self) -> str:
        """The digest that identifies the neural dataset."""
        return self.recipe.digest


@dataclass(frozen=True)
class CellSetup:
    """The part of the configuration that all points of a cell share.

    Attributes:
        label: label of the cell, for error messages.
        classifiers, inits: configurations by the names that points use for them.
        seed: seed of the study.
    """

    label: str
    signals: SignalsConfig
    field: str
    classifier: ClassifierConfig
    classifiers: Mapping[str, ClassifierConfig]
    inits: Mapping[str, InitConfig]
    catalogs: Catalogs
    seed: int


class Codec(Protocol):
    """A two-way conversion between the points of a cell and configurations."""

    def configure(self, point: Point, *, replicate: int = 0) -> TrialConfig:
        """Return a point's configuration with every default written out, so that its digest is final.

        Raises:
            BadConfig: a parameter is unknown, missing or out of range.
        """

    def point(self, config: Mapping[str, Any]) -> Point:
        """Return the parameters of a trial's configuration, by the names that points use."""


@dataclass(frozen=True)
class Task:
    """A kind of experiment.

    Attributes:
        config: class of its configurations.
        codec: returns the codec of a cell.
        needs: returns the neural datasets that a trial reads; two trials never fit the same one at once.
        run: computes the result of a configuration; every rank of a worker group calls it.
        metrics: returns the metrics that its trials report on given signals, including the objective's.
        objective: returns the default objective on given signals; a cell may name another.
        curve: metric by epoch that a pruner watches; None if trials cannot be pruned.
        sections: ids of the figures and tables of `nefstudy/insight/catalog.py` that apply.
    """

    name: str
    config: type[TrialConfig]
    codec: Callable[[CellSetup], Codec]
    needs: Callable[[Any], tuple[Need, ...]]
    run: "RunTask"
    metrics: Callable[[SignalTraits], tuple[Metric, ...]]
    objective: Callable[[SignalTraits], Objective]
    curve: str | None = None
    sections: tuple[str, ...] = COMMON_SECTIONS


class RunTask(Protocol):
    """The function that runs a trial of a task."""

    def __call__(self, config: Any, *, setting: Setting) -> TrialResult:
        """Run the trial and return its result."""
