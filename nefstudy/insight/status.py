"""Every study of a ledger at a glance: what `nefstudy status` prints, and a study among others."""

from pydantic import BaseModel

from nefstudy.insight.pace import Pace
from nefstudy.insight.progress import Best, Counts, Progress, Silent, cells_by_phase, driver_since, progress, sum_of
from nefstudy.insight.reading import Source
from nefstudy.ledger import Ledger, StudyRow

EXPORT = "export"  # the kind of event about the process that exports results


class PhaseStatus(Counts, Pace):
    """Progress of one phase, all cells together."""

    phase: str


class Setback(BaseModel):
    """Trials of a cell that failed for a cause, and attempts that failed and were retried."""

    phase: str
    cell: str
    cause: str
    failed: int
    retried: int


class StoppedCell(BaseModel):
    """A cell whose remaining trials are skipped until the study is run again."""

    phase: str
    cell: str
    reason: str


class StudyStatus(Pace):
    """One study in `nefstudy status`.

    Attributes:
        unexported: results that wait to be exported to MLflow.
        export: why they wait longer than usual: the process that exports them has ended; None otherwise.
    """

    study: str
    state: str
    alive: bool
    phases: list[PhaseStatus]
    best: list[Best]
    setbacks: list[Setback]
    stopped_cells: list[StoppedCell]
    silent: list[Silent]
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


def status(ledger: Ledger) -> Status:
    """Return every study at a glance, as `nefstudy status --json` prints it."""
    return Status(studies=[_study_status(ledger, progress(ledger, row.study)) for row in ledger.studies.all()])


def _study_status(ledger: Ledger, found: Progress) -> StudyStatus:
    unexported = ledger.outbox.size(found.study)
    names = {*PhaseStatus.model_fields}
    return StudyStatus(
        study=found.study,
        state=found.state,
        alive=found.alive,
        phases=[PhaseStatus(**phase.model_dump(include=names)) for phase in found.phases],
        best=found.best,
        setbacks=setbacks(ledger, found.study),
        stopped_cells=stopped_cells(ledger, found.study),
        silent=found.silent,
        unexported=unexported,
        export=export_trouble(ledger, found.study) if unexported else None,
        **{name: getattr(found, name) for name in Pace.model_fields},
    )


def card(ledger: Ledger, row: StudyRow) -> StudyCard:
    """Return a study's counts over all phases and cells."""
    cells = cells_by_phase(ledger, row.study, Source(ledger, row.study).declared, best=())
    return StudyCard(
        study=row.study,
        state=row.state,
        alive=driver_since(ledger, row.study) is not None,
        created_at=row.created_at,
        updated_at=row.updated_at,
        **sum_of(cell for phase in cells.values() for cell in phase),
    )


def setbacks(ledger: Ledger, study: str) -> list[Setback]:
    """Return failed trials and retried attempts of each phase, cell and cause."""
    failed, retried = ledger.trials.causes(study), ledger.trials.retries(study)
    return [
        Setback(phase=phase, cell=cell, cause=cause, failed=failed.get(place, 0), retried=retried.get(place, 0))
        for place in sorted({*failed, *retried})
        for phase, cell, cause in [place]
    ]


def stopped_cells(ledger: Ledger, study: str) -> list[StoppedCell]:
    """Return the cells whose remaining trials are skipped, and why."""
    found = sorted(ledger.studies.stopped_cells(study).items())
    return [StoppedCell(phase=phase, cell=cell, reason=reason) for (phase, cell), reason in found]


def export_trouble(ledger: Ledger, study: str) -> str | None:
    """Return why a study's results are not exported to MLflow; None while the process that exports them runs."""
    event = ledger.events.last_of_kind(study, EXPORT)
    if event is None or event.data["state"] == "running":
        return None
    return f"{event.data['state']}, ended {event.data['ends']} times in a row ({event.data['why']})"
