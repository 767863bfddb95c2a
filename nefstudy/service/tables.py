"""Where the studies stand, for a terminal."""

import time
from datetime import timedelta

from rich.table import Table

from nefstudy.service.models import PhaseStatus, Status, StudyStatus


def status_tables(found: Status) -> list[Table]:
    """The tables of each study that have rows: phases, the best trial of each cell, failures, cells left alone."""
    makers = (_phases, _best, _setbacks, _stopped, _silent, _export)
    return [table for study in found.studies for make in makers if (table := make(study)).row_count]


def _phases(study: StudyStatus) -> Table:
    driver = "" if study.alive or study.state == "finished" else ", no driver at work"
    table = Table(title=f"study {study.study}: {study.state}{driver}", title_justify="left", box=None, pad_edge=False)
    names = ("complete", "planned", "running", "failed", "interrupted", "pruned", "per min", "ETA")
    table.add_column("phase")
    for name in names:
        table.add_column(name, justify="right")
    for phase in study.phases:
        table.add_row(phase.phase, *_counts(phase))
    return table


def _counts(phase: PhaseStatus) -> tuple[str, ...]:
    pace = "-" if phase.per_minute is None else f"{phase.per_minute:.1f}"
    eta = "-" if phase.eta_s is None or not phase.remaining else str(timedelta(seconds=round(phase.eta_s)))
    counts = (phase.complete, phase.planned, phase.running, phase.failed, phase.interrupted, phase.pruned)
    return (*map(str, counts), pace, eta)


def _best(study: StudyStatus) -> Table:
    table = Table(title="best by validation accuracy", title_justify="left", box=None, pad_edge=False)
    for name in ("cell", "trial", "val", "test"):
        table.add_column(name, justify="left" if name in ("cell", "trial") else "right")
    for best in study.best:
        scores = (best.val_accuracy, best.test_accuracy)
        table.add_row(best.cell, best.key, *("-" if score is None else f"{score:.3f}" for score in scores))
    return table


def _setbacks(study: StudyStatus) -> Table:
    table = Table(title="failures", title_justify="left", box=None, pad_edge=False)
    for name in ("phase", "cell", "cause", "failed", "tried again"):
        table.add_column(name, justify="left" if name in ("phase", "cell", "cause") else "right")
    for setback in study.setbacks:
        table.add_row(setback.phase, setback.cell, setback.cause, str(setback.failed), str(setback.retried))
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
    table = Table(title="left alone until the study is run again", title_justify="left", box=None, pad_edge=False)
    for name in ("phase", "cell", "why"):
        table.add_column(name)
    for cell in study.stopped_cells:
        table.add_row(cell.phase, cell.cell, cell.reason)
    return table


def _export(study: StudyStatus) -> Table:
    table = Table(title="export to MLflow", title_justify="left", box=None, pad_edge=False)
    for name in ("results that wait", "process", "next step"):
        table.add_column(name)
    if study.export is not None:
        table.add_row(str(study.unexported), study.export, "nefstudy export mlflow")
    return table
