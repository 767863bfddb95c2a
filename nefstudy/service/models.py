"""The shapes of the answers, as pydantic models: what OpenAPI documents and tests validate against."""

from typing import Any, Literal

from pydantic import BaseModel


class Best(BaseModel):
    """The best complete trial of a cell by validation accuracy; `measure` is what `quality` is: PSNR in dB or IoU."""

    cell: str
    phase: str
    key: str
    val_accuracy: float | None
    test_accuracy: float | None
    quality: float | None
    measure: Literal["psnr", "iou"] | None
    init: str
    hidden: int | None
    steps: int


class Counts(BaseModel):
    """How many trials are planned and in each state; `requested` ones wait for a worker."""

    planned: int = 0
    requested: int = 0
    running: int = 0
    complete: int = 0
    failed: int = 0
    interrupted: int = 0
    pruned: int = 0

    @property
    def remaining(self) -> int:
        """Planned trials that have not come to an end of their own."""
        return max(0, self.planned - self.complete - self.pruned - self.failed)


class Pace(BaseModel):
    """How fast trials end, and how long the rest takes at this pace; None while that cannot be known.

    `eta_low_s` and `eta_high_s` bound the estimate by twice the counting error of the trials it rests on.
    """

    per_minute: float | None = None
    eta_s: float | None = None
    eta_low_s: float | None = None
    eta_high_s: float | None = None


class CellProgress(Counts):
    """Progress of one cell in one phase."""

    cell: str
    best: Best | None = None


class Silent(BaseModel):
    """A running trial whose worker has not reported for minutes; `since` its last report, UTC seconds."""

    phase: str
    cell: str
    key: str
    since: float


class PhaseProgress(Counts, Pace):
    """Progress of one phase over its cells."""

    phase: str
    cells: list[CellProgress]


class Progress(Counts, Pace):
    """Progress of a study: phases x cells, the pace and the time left.

    Attributes:
        alive: a driver holds the study and has been heard from within its lease.
        seq: number of the last event; answers with the same number rest on the same trials.
        at: when this was computed, UTC seconds.
    """

    study: str
    state: str
    alive: bool
    seq: int
    at: float
    phases: list[PhaseProgress]
    best: list[Best]
    silent: list[Silent] = []


class PhaseStatus(Counts, Pace):
    """Progress of one phase, all cells together."""

    phase: str


class Setback(BaseModel):
    """Trials of a cell that failed for a cause, and attempts that failed and were tried again."""

    phase: str
    cell: str
    cause: str
    failed: int
    retried: int


class StoppedCell(BaseModel):
    """A cell whose remaining trials are left alone until the study is run again."""

    phase: str
    cell: str
    reason: str


class StudyStatus(Pace):
    """One study in `nefstudy status`.

    Attributes:
        unexported: results that wait to be exported to MLflow.
        export: why they wait longer than usual: the process that exports them has ended; None while all is well.
    """

    study: str
    state: str
    alive: bool
    phases: list[PhaseStatus]
    best: list[Best]
    setbacks: list[Setback] = []
    stopped_cells: list[StoppedCell] = []
    silent: list[Silent] = []
    unexported: int = 0
    export: str | None = None


class Status(BaseModel):
    """What `nefstudy status --json` prints."""

    studies: list[StudyStatus]


class StudyCard(Counts):
    """A study among others."""

    study: str
    state: str
    alive: bool
    created_at: float
    updated_at: float


class Studies(BaseModel):
    """Every study of the ledger, latest change first."""

    studies: list[StudyCard]


class StudyDetail(StudyCard):
    """A study with its plan."""

    plan: dict[str, Any]


class Trial(BaseModel):
    """A trial as it stands in a page of trials; `parameters` is its configuration, flat; `score` its objective."""

    study: str
    phase: str
    key: str
    cell: str
    task: str
    state: str
    attempt: int
    score: float | None
    init: str
    field: str
    signals: str
    hidden: int | None
    steps: int
    classifier: str
    seed: int
    val_accuracy: float | None
    test_accuracy: float | None
    quality: float | None
    metrics: dict[str, float | None]
    parameters: dict[str, bool | int | float | str]
    cause: str | None
    error: str | None
    dataset: str | None
    reused: bool
    requested_at: float | None
    started_at: float | None
    ended_at: float | None


class TrialDetail(Trial):
    """One trial with its configuration, fingerprint, curves and the names of its artifacts.

    Attributes:
        log: last lines of what a failed trial said; empty for others.
    """

    config: dict[str, Any]
    fingerprint: dict[str, str]
    curves: dict[str, list[tuple[float, float | None]]]
    artifacts: list[str]
    log: list[str]


class TrialPage(BaseModel):
    """A page of trials; `cursor` asks for the next one and is None on the last."""

    trials: list[dict[str, Any]]
    cursor: str | None


class BestTrials(BaseModel):
    """The best complete trials by validation accuracy, best first."""

    best: list[Best]


class Command(BaseModel):
    """What was asked of a study's driver; `outcome` is None until it has obeyed."""

    id: int
    study: str
    verb: str
    body: dict[str, Any]
    created_at: float
    settled_at: float | None
    outcome: str | None


class Commands(BaseModel):
    """Commands of a study, latest first."""

    commands: list[Command]


class NeuralDataset(BaseModel):
    """A neural dataset by its recipe's digest: the step counts it holds, its size and how it was made."""

    digest: str
    rungs: list[int]
    bytes: int
    fingerprint: dict[str, str]
    state: str
    created_at: float


class NeuralDatasets(BaseModel):
    """Every neural dataset the ledger knows."""

    neural_datasets: list[NeuralDataset]
