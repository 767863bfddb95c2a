"""Ledger records of trials: plain values made from configurations."""

from collections.abc import Sequence

from nefstudy.config import TrialConfig
from nefstudy.ledger import TrialRecord
from nefstudy.scalars import canonical_json
from nefstudy.tasks.parameters import parameters


def record_of(trial: TrialConfig, *, cell: str, needs: Sequence[str]) -> TrialRecord:
    """Return a trial as the ledger records it.

    Args:
        needs: digests of the neural datasets that it reads.
    """
    config = trial.model_dump(mode="json")
    return TrialRecord(
        key=trial.key,
        task=trial.task,
        cell=cell,
        seed=trial.seed,
        config=canonical_json(config),
        parameters={name: value for name, value in parameters(config).items() if name != "task"},
        needs=tuple(needs),
        dataset=next(iter(needs), None),
    )
