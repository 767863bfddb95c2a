"""Trials and cells as tests put them into a ledger."""

from collections.abc import Mapping

from nefstudy.ledger import CellRecord, TrialRecord
from nefstudy.study.record import record_of
from nefstudy.tasks.classification import ClassificationConfig


def cell_of(trial: ClassificationConfig) -> str:
    """Return the label that a cell has unless a plan gives another."""
    return f"{trial.dataset.signals.name}/{trial.dataset.field.name}"


def as_record(trial: ClassificationConfig) -> TrialRecord:
    return record_of(trial, cell=cell_of(trial), needs=(trial.dataset.digest,))


def as_cells(planned: Mapping[tuple[str, str], int]) -> dict[tuple[str, str], CellRecord]:
    scored = {"task": "classification", "metric": "val_accuracy"}
    return {at: CellRecord(count, **scored, direction="maximize") for at, count in planned.items()}
