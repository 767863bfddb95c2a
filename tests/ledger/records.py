"""Functions that return example trials, and the ledger's records of trials and cells."""

from collections.abc import Mapping

from nefstudy.config import FieldConfig, NeuralDatasetConfig, OptimizerConfig, SignalsConfig, TrialConfig
from nefstudy.ledger import CellRecord, TrialRecord
from nefstudy.study.samplers.stream import record_of
from nefstudy.tasks.classification import ClassificationConfig

from ..classification import classification
from ..stub_tasks import digests_of


def make_trial(
    seed: int = 0, *, field: str = "siren", init: str = "shared", steps: int = 75, lr: float = 1e-3
) -> ClassificationConfig:
    """Return a trial on digits."""
    dataset = NeuralDatasetConfig(
        signals=SignalsConfig(name="digits8", content="c0ffee"),
        field=FieldConfig(name=field, params={"hidden": 16, "omega_0": 9.0}),
        init=init,
        optimizer=OptimizerConfig(lr=lr),
    )
    return ClassificationConfig(dataset=dataset, steps=steps, seed=seed)


def cell_of(trial: TrialConfig) -> str:
    """Return the default label of a trial's cell."""
    dataset = classification(trial).dataset
    return f"{dataset.signals.name}/{dataset.field.name}"


def as_record(trial: TrialConfig) -> TrialRecord:
    return record_of(trial, cell=cell_of(trial), needs=digests_of(trial))


def as_cells(planned: Mapping[tuple[str, str], int]) -> dict[tuple[str, str], CellRecord]:
    scored = {"task": "classification", "metric": "val_accuracy"}
    return {at: CellRecord(count, **scored, direction="maximize") for at, count in planned.items()}
