"""Settings that ran with several seeds, as an answer."""

from nefstudy.ledger import Ledger
from nefstudy.ledger.replicates import CONFIDENCE, Interval, Replicated, replicated
from nefstudy.service.figure_models import Mean, Replicate, Replicates


def replicates(ledger: Ledger, study: str, *, phase: str | None, cell: str | None) -> Replicates:
    """Means with intervals; a study of one seed is told apart without reading its configurations."""
    seeds = ledger.trials.columns(study, ("seed",), phase=phase, cell=cell)["seed"]
    if len(set(seeds)) < 2:
        return Replicates(confidence=CONFIDENCE, rows=[])
    rows = ledger.trials.page(study, phase=phase, cell=cell, limit=None).rows
    return Replicates(confidence=CONFIDENCE, rows=[_row(found) for found in replicated(rows)])


def _row(found: Replicated) -> Replicate:
    row = found.example
    return Replicate(
        phase=row.phase,
        cell=row.cell,
        init=row.init,
        hidden=row.hidden,
        steps=row.steps,
        classifier=row.classifier,
        key=row.key,
        keys=list(found.keys),
        val_accuracy=_mean(found.val),
        test_accuracy=_mean(found.test),
        quality=None if found.quality is None else _mean(found.quality),
    )


def _mean(found: Interval) -> Mean:
    low, high = (None, None) if found.half is None else (found.mean - found.half, found.mean + found.half)
    return Mean(n=found.n, mean=found.mean, low=low, high=high)
