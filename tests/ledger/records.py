"""Trials and cells as tests put them into a ledger."""

from collections.abc import Mapping

from nefstudy.config import TrialConfig
from nefstudy.ledger import CellRecord, TrialRecord
from nefstudy.study.record import cell_records, record_of


def as_record(trial: TrialConfig) -> TrialRecord:
    return record_of(trial, cell=trial.cell)


def as_cells(planned: Mapping[tuple[str, str], int]) -> dict[tuple[str, str], CellRecord]:
    return cell_records(planned)
