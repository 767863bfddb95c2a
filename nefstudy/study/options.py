"""What can be said on a study script's command line, as one frozen value."""

from collections.abc import Callable
from dataclasses import dataclass

from nefstudy.study.plan import StudyPlan


@dataclass(frozen=True)
class StudyOptions:
    """The flags of `python studies/phase1.py`; see `--help` for what each means."""

    study: str | None = None
    root: str | None = None
    ledger: str | None = None
    scale: str = "cpu"
    cells: tuple[str, ...] | None = None
    data: tuple[str, ...] = ()
    trials: int | None = None
    seed: int = 0
    replicates: int = 1
    workers: int = 0
    concurrency: int | None = None
    gpus: float | None = None
    spread: bool = False
    classifier: str | None = None
    engine: str = "auto"
    from_phase1: bool = False
    max_equal_failures: int = 5
    budget_hours: float | None = None
    max_trial_hours: float | None = None
    pruner: str = "none"
    keep: str = "all"
    min_free_gb: float = 1.0
    webhook: str | None = None
    dry_run: bool = False
    json: bool = False

    @property
    def request_hours(self) -> float | None:
        """The most hours of a trial that is enqueued; None where no option limits it."""
        return min((h for h in (self.budget_hours, self.max_trial_hours) if h is not None), default=None)

    @property
    def name(self) -> str:
        """The study's name: as given, else the scale's, so that both phases of a scale are one study."""
        return self.study or self.scale


MakePlan = Callable[[StudyOptions], StudyPlan]
"""What a study script defines as `plan`: its command line turned into a plan."""
