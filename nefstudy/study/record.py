"""Trials and cells as the ledger is told of them: plain values made of configurations."""

from collections.abc import Mapping

from nefstudy.config import TrialConfig
from nefstudy.ledger import CellRecord, TrialRecord
from nefstudy.scalars import canonical_json
from nefstudy.tasks.parameters import parameters

TASK, METRIC = "classification", "val_accuracy"


def record_of(trial: TrialConfig, *, cell: str) -> TrialRecord:
    """Return a trial as the ledger records it."""
    config, dataset = trial.model_dump(mode="json"), trial.dataset.digest
    return TrialRecord(
        key=trial.key,
        task=TASK,
        cell=cell,
        seed=trial.seed,
        config=canonical_json(config),
        parameters=parameters(config),
        needs=(dataset,),
        dataset=dataset,
    )


def cell_records(planned: Mapping[tuple[str, str], int]) -> dict[tuple[str, str], CellRecord]:
    """Return the record of each (phase, cell) from its number of planned trials."""
    return {at: CellRecord(count, task=TASK, metric=METRIC, direction="maximize") for at, count in planned.items()}
