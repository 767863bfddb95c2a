"""Summaries of all studies in a ledger, for `nefstudy status` and for the list of studies."""

from pydantic import BaseModel

from nefstudy.insight.pace import Pace
from nefstudy.insight.progress import (
    BestTrial,
    Progress,
    SilentTrial,
    TrialCounts,
    cells_by_phase,
    driver_since,
    progress,
    sum_of,
)
from nefstudy.insight.study_data import StudyData
from nefstudy.ledger import Ledger, StudyRow

EXPORT = "export"  # event kind: state of the process that exports results


class PhaseStatus(TrialCounts, Pace):
    """Progress of one phase over all of its cells."""

    phase: str


class FailureCounts(BaseModel):
    """The numbers of failed trials and retried attempts of one cell, for one cause."""

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
        unexported: number of results that are not exported to MLflow yet.
        export: why the export has stopped; None if it is running or has nothing left to export.
    """

    study: str
    state: str
    alive: bool
    phases: list[PhaseStatus]
    best: list[BestTrial]
    setbacks: list[FailureCounts]
    stopped_cells: list[StoppedCell]
    silent: list[SilentTrial]
    unexported: int = 0
    export: str | None = None


class Status(BaseModel):
    """The output of `nefstudy status --json`."""

    studies: list[StudyStatus]


class StudyCard(TrialCounts):
    """A study in the list of studies."""

    study: str
    state: str
    alive: bool
    created_at: float
    updated_at: float


def status(ledger: Ledger) -> Status:
    """Return the summaries of all studies."""
    return Status(studies=[_study_status(ledger, progress(ledger, row.study)) for row in ledger.studies.all()])


def _study_status(ledger: Ledger, study: Progress) -> StudyStatus:
    unexported = ledger.outbox.size(study.study)
    names = {*PhaseStatus.model_fields}
    return StudyStatus(
        study=study.study,
        state=study.state,
        alive=study.alive,
        phases=[PhaseStatus(**phase.model_dump(include=names)) for phase in study.phases],
        best=study.best,
        setbacks=failure_counts(ledger, study.study),
        stopped_cells=stopped_cells(ledger, study.study),
        silent=study.silent,
        unexported=unexported,
        export=export_problem(ledger, study.study) if unexported else None,
        **{name: getattr(study, name) for name in Pace.model_fields},
    )


def card(ledger: Ledger, row: StudyRow) -> StudyCard:
    """Return a study's counts over all phases and cells."""
    cells = cells_by_phase(ledger, row.study, StudyData(ledger, row.study).declared, best=())
    return StudyCard(
        study=row.study,
        state=row.state,
        alive=driver_since(ledger, row.study) is not None,
        created_at=row.created_at,
        updated_at=row.updated_at,
        **sum_of(cell for phase in cells.values() for cell in phase),
    )


def failure_counts(ledger: Ledger, study: str) -> list[FailureCounts]:
    """Return the numbers of failed trials and retried attempts by phase, cell and cause."""
    failed, retried = ledger.trials.causes(study), ledger.trials.retries(study)
    return [
        FailureCounts(phase=phase, cell=cell, cause=cause, failed=failed.get(key, 0), retried=retried.get(key, 0))
        for key in sorted({*failed, *retried})
        for phase, cell, cause in [key]
    ]


def stopped_cells(ledger: Ledger, study: str) -> list[StoppedCell]:
    """Return the stopped cells of a study with their reasons."""
    reasons = sorted(ledger.studies.stopped_cells(study).items())
    return [StoppedCell(phase=phase, cell=cell, reason=reason) for (phase, cell), reason in reasons]


def export_problem(ledger: Ledger, study: str) -> str | None:
    """Return why results are not being exported to MLflow, or None while the exporter is running."""
    event = ledger.events.last_of_kind(study, EXPORT)
    if event is None or event.data["state"] == "running":
        return None
    return f"{event.data['state']}, ended {event.data['ends']} times in a row ({event.data['why']})"
