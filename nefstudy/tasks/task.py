"""A task: what one trial does with a configuration, and everything that a study must know of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from nefstudy.config import ClassifierConfig, InitConfig, NeuralDatasetConfig, SignalsConfig, TrialConfig
from nefstudy.errors import BadConfig
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
"""Parameter values by name; every task has its own codec between points and configurations."""


@dataclass(frozen=True)
class Metric:
    """A number that a trial reports.

    Attributes:
        direction: which values are better; None for a number that is neither good nor bad, such as a count.
        split: signals it was measured on; None for a number of the whole trial.
        domain: range of its values where they have one, for axes.
    """

    name: str
    label: str
    unit: str = ""
    direction: Direction | None = None
    split: Split | None = None
    domain: tuple[float, float] | None = None


@dataclass(frozen=True)
class SignalTraits:
    """What a task must know of signals before it runs.

    Attributes:
        split: whether they are split into training, validation and test signals.
    """

    kind: SignalKind
    split: bool = True


@dataclass(frozen=True)
class Objective:
    """What the trials of a cell are compared by.

    Attributes:
        metric: whose raw value is a trial's score.
    """

    metric: str
    direction: Direction = "maximize"

    def __post_init__(self) -> None:
        if self.direction not in ("maximize", "minimize"):
            raise BadConfig(f"direction {self.direction!r}: allowed are maximize, minimize; correct the objective")

    @property
    def sign(self) -> int:
        """1 where larger scores are better, else -1: scores times this are better when larger."""
        return 1 if self.direction == "maximize" else -1


@dataclass(frozen=True)
class Need:
    """A neural dataset that a trial reads, at one of its rungs."""

    recipe: NeuralDatasetConfig
    rung: int

    @property
    def digest(self) -> str:
        """Identity of the neural dataset."""
        return self.recipe.digest


@dataclass(frozen=True)
class CellSetup:
    """What a cell fixes for the configurations of all of its points.

    Attributes:
        label: of the cell, for errors.
        classifiers, inits: configurations by the words that a point may use for them.
        seed: of the study.
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
    """The way between the points of one cell and configurations."""

    def configure(self, point: Point, *, replicate: int = 0) -> TrialConfig:
        """Return the configuration of a point, every default written out, so that its digest is final.

        Raises:
            BadConfig: a parameter that is unknown, missing or out of range.
        """

    def point(self, config: Mapping[str, Any]) -> Point:
        """Return the parameters of a trial's configuration under the names that points use."""


@dataclass(frozen=True)
class Task:
    """One kind of experiment.

    Attributes:
        config: class of its configurations.
        codec: makes the codec of a cell.
        needs: neural datasets that a trial reads; two trials never fit the same one at once.
        run: turns a configuration into a result; every rank of a worker group calls it.
        metrics: numbers that its trials report on given signals, the objective's among them.
        objective: what trials are compared by on given signals unless a cell names another.
        curve: metric by epoch that a pruner may watch; None where trials cannot be pruned.
        sections: ids of the figures and tables of `nefstudy/insight/catalog.py` that apply.
    """

    name: str
    config: type[TrialConfig]
    codec: Callable[[CellSetup], Codec]
    needs: Callable[[Any], tuple[Need, ...]]
    run: "Run"
    metrics: Callable[[SignalTraits], tuple[Metric, ...]]
    objective: Callable[[SignalTraits], Objective]
    curve: str | None = None
    sections: tuple[str, ...] = COMMON_SECTIONS


class Run(Protocol):
    """What a task does."""

    def __call__(self, config: Any, *, setting: Setting) -> TrialResult:
        """Return what the trial found."""
