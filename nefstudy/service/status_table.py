"""Tables of the studies' status for a terminal."""

import time
from datetime import timedelta

from rich.table import Table

from nefstudy.insight.status import PhaseStatus, Status, StudyStatus


def status_tables(status: Status) -> list[Table]:
    """Return the non-empty tables of each study, from its phases to the state of its export."""
    makers = (_phases, _best, _failures, _stopped, _silent, _export)
    return [table for study in status.studies for make in makers if (table := make(study)).row_count]


def _phases(study: StudyStatus) -> Table:
    driver = "" if study.alive or study.state == "finished" else ", no driver"
    table = Table(title=f"study {study.study}: {study.state}{driver}", title_justify="left", box=None, pad_edge=False)
    names = ("complete", "planned", "running", "failed", "interrupted", "pruned", "fits left", "per min", "ETA")
    table.add_column("phase")
    for name in names:
        table.add_column(name, justify="right")
    for phase in study.phases:
        table.add_row(phase.phase, *_counts(phase))
    return table


def _counts(phase: PhaseStatus) -> tuple[str, ...]:
    pace = "-" if phase.per_minute is None else f"{phase.per_minute:.1f}"
    eta = "-" if phase.eta_s is None or not phase.remaining else str(timedelta(seconds=round(phase.eta_s)))
    counts = (
        phase.complete,
        phase.planned,
        phase.running,
        phase.failed,
        phase.interrupted,
        phase.pruned,
        phase.remaining_fits,
    )
    return (*map(str, counts), pace, eta)


def _best(study: StudyStatus) -> Table:
    table = Table(title="best trial of each cell", title_justify="left", box=None, pad_edge=False)
    has_test = any(best.reported_label for best in study.best)
    for name in ("cell", "trial", "objective", "best", *(("test",) if has_test else ())):
        table.add_column(name, justify="right" if name in ("best", "test") else "left")
    for best in study.best:
        scores = (best.score, best.reported) if has_test else (best.score,)
        shown = ("-" if score is None else f"{score:.{best.digits}f}" for score in scores)
        table.add_row(best.cell, best.key, best.label, *shown)
    return table


def _failures(study: StudyStatus) -> Table:
    table = Table(title="failures", title_justify="left", box=None, pad_edge=False)
    for name in ("phase", "cell", "cause", "failed", "retried"):
        table.add_column(name, justify="left" if name in ("phase", "cell", "cause") else "right")
    for row in study.setbacks:
        table.add_row(row.phase, row.cell, row.cause, str(row.failed), str(row.retried))
    return table


def _silent(study: StudyStatus) -> Table:
    table = Table(title="running without a report", title_justify="left", box=None, pad_edge=False)
    for name in ("phase", "cell", "trial", "no report for"):
        table.add_column(name)
    for trial in study.silent:
        minutes = f"{(time.time() - trial.since) / 60:.0f} min"
        table.add_row(trial.phase, trial.cell, trial.key, minutes)
    return table


def _stopped(study: StudyStatus) -> Table:
    table = Table(title="stopped until the study is run again", title_justify="left", box=None, pad_edge=False)
    for name in ("phase", "cell", "reason"):
        table.add_column(name)
    for cell in study.stopped_cells:
        table.add_row(cell.phase, cell.cell, cell.reason)
    return table


def _export(study: StudyStatus) -> Table:
    table = Table(title="export to MLflow", title_justify="left", box=None, pad_edge=False)
    for name in ("results not exported", "export process", "next step"):
        table.add_column(name)
    if study.export is not None:
        table.add_row(str(study.unexported), study.export, "nefstudy export mlflow")
    return table
