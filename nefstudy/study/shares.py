"""How much of a GPU a trial asks for: all of it, until a trial of its class has shown what memory it takes."""

from collections.abc import Iterable, Mapping
from math import floor, isfinite, nan
from typing import Any

from nefstudy.config import TrialConfig
from nefstudy.ledger import TrialRow
from nefstudy.scalars import canonical_json, digest
from nefstudy.trial.memory import MEMORY, PEAK

MARGIN = 1.2  # over the measured peak: the allocator's slack and the context of each process
NOT_OF_MEMORY = frozenset({"seed", "split_seed", "content", "steps", "init", "epochs", "patience"})
MOST = 8  # trials on one GPU; with more, they wait for one another's kernels


def trials_per_gpu(*, memory_mb: float, peak_mb: float) -> int:
    """How many trials of a measured peak fit the memory of one GPU with a margin: 1 to 8."""
    return max(1, min(MOST, floor(memory_mb / (MARGIN * max(peak_mb, 1.0)))))


def memory_class(config: Mapping[str, Any]) -> str:
    """Return what decides a trial's memory: its configuration without real numbers, seeds and step counts."""
    return digest(canonical_json(_shape(config)))


def _shape(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _shape(inner) for name, inner in value.items() if name not in NOT_OF_MEMORY}
    return None if isinstance(value, float) else value


class Shares:
    """What trials of each class have shown, remembered through the ledger's rows.

    Args:
        whole: GPUs of a trial of an unknown class.
        fixed: whether every trial takes as much, whatever it shows.
    """

    def __init__(self, whole: float = 0.0, *, fixed: bool = True, rows: Iterable[TrialRow] = ()) -> None:
        self._whole, self._fixed = whole, fixed
        self._fit: dict[str, int] = {}
        for row in () if fixed else rows:
            if PEAK in row.metrics:
                self._learn(row.config, row.metrics)

    def learn(self, trial: TrialConfig, metrics: Mapping[str, float]) -> None:
        """Take in what a trial measured; of several, the one that leaves room for fewest counts."""
        self._learn(trial.model_dump(mode="json"), metrics)

    def _learn(self, config: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
        measured = [metrics.get(name, nan) for name in (PEAK, MEMORY)]  # NaN as well where user code made them up
        if not self._fixed and all(isfinite(value) for value in measured):
            fits = trials_per_gpu(memory_mb=metrics[MEMORY], peak_mb=metrics[PEAK])
            kind = memory_class(config)
            self._fit[kind] = min(fits, self._fit.get(kind, MOST))

    def of(self, trial: TrialConfig) -> float:
        """GPUs to ask for: 1/k where k trials of its class fit one."""
        if self._fixed:
            return self._whole
        return self._whole / self._fit.get(memory_class(trial.model_dump(mode="json")), 1)
