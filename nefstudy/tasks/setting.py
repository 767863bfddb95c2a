"""Where and how a trial runs; changes nothing about what it finds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nefstudy.classifiers.catalog import CLASSIFIERS
from nefstudy.fields.catalog import FIELDS
from nefstudy.inits.catalog import INITS
from nefstudy.signals.catalog import SIGNALS
from nefstudy.tasks.progress import Progress
from nefstudy.tasks.result import TrialResult
from nefstudy.tasks.world import World

OnEpoch = Callable[[int, int, Callable[[], TrialResult]], None]
"""(epoch, epochs in all, what makes the result so far)."""


@dataclass(frozen=True)
class Catalogs:
    """The code that a configuration may name."""

    fields: Mapping[str, Any] = field(default_factory=lambda: FIELDS)
    classifiers: Mapping[str, Any] = field(default_factory=lambda: CLASSIFIERS)
    signals: Mapping[str, Any] = field(default_factory=lambda: SIGNALS)
    inits: Mapping[str, Any] = field(default_factory=lambda: INITS)


@dataclass(frozen=True)
class Setting:
    """Where and how a trial runs.

    Attributes:
        root: directory or URI that neural datasets and pictures are kept under.
        ladders: by digest of a neural dataset, the step counts to fit if it has to be fitted.
        clock: seconds from any origin, for durations.
        halvings: how often the fit's chunk is halved, after attempts that ran out of memory.
        fits: of the same shape in the study, which share what compiling it costs; None for a trial on its own.
        on_progress: called after every chunk of fields and every epoch.
        cpu_clock: CPU seconds of this process; where given, training is timed by it too.
        on_epoch: called after every epoch; may raise to end the trial.
    """

    root: str
    clock: Callable[[], float]
    ladders: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    world: World = field(default_factory=World)
    catalogs: Catalogs = field(default_factory=Catalogs)
    engine: str = "auto"
    halvings: int = 0
    fits: int | None = None
    on_progress: Progress | None = None
    cpu_clock: Callable[[], float] | None = None
    on_epoch: OnEpoch | None = None

    def ladder(self, digest: str, *, rung: int) -> tuple[int, ...]:
        """Return the step counts to fit of a neural dataset that a trial reads at a rung."""
        return tuple(sorted({*self.ladders.get(digest, ()), rung}))
