"""The execution settings of a trial, which do not change its result, and the catalogs of code that trials can name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nefstudy.classifiers.catalog import CLASSIFIERS
from nefstudy.fields.catalog import FIELDS
from nefstudy.inits.catalog import INITS
from nefstudy.signals.catalog import SIGNALS
from nefstudy.tasks.progress import OnProgress
from nefstudy.tasks.result import TrialResult
from nefstudy.tasks.world import World

OnEpoch = Callable[[int, int, Callable[[], TrialResult]], None]
"""Called with (epoch, number of epochs, function that returns the result so far)."""


@dataclass(frozen=True)
class Catalogs:
    """The catalogs of code that a configuration can refer to by name."""

    fields: Mapping[str, Any] = field(default_factory=lambda: FIELDS)
    classifiers: Mapping[str, Any] = field(default_factory=lambda: CLASSIFIERS)
    signals: Mapping[str, Any] = field(default_factory=lambda: SIGNALS)
    inits: Mapping[str, Any] = field(default_factory=lambda: INITS)


@dataclass(frozen=True)
class Setting:
    """The execution settings of a trial.

    Attributes:
        root: directory or URI that holds neural datasets and artifacts.
        ladders: step counts to fit, by digest of a neural dataset that has to be fitted.
        clock: seconds from any origin, for durations.
        chunk_halvings: how often the fit's chunk is halved, after attempts that ran out of memory.
        fits_per_shape: number of fits in the study that share the cost of compiling this shape; None outside a study.
        on_progress: called after every chunk of fields and every epoch.
        cpu_clock: CPU seconds of this process; if given, training is timed by it too.
        on_epoch: called after every epoch; may raise to end the trial.
    """

    root: str
    clock: Callable[[], float]
    ladders: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    world: World = field(default_factory=World)
    catalogs: Catalogs = field(default_factory=Catalogs)
    engine: str = "auto"
    chunk_halvings: int = 0
    fits_per_shape: int | None = None
    on_progress: OnProgress | None = None
    cpu_clock: Callable[[], float] | None = None
    on_epoch: OnEpoch | None = None

    def ladder(self, digest: str, *, rung: int) -> tuple[int, ...]:
        """Return the step counts to fit for a neural dataset, including the rung that the trial reads."""
        return tuple(sorted({*self.ladders.get(digest, ()), rung}))
