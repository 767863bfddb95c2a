"""The share of a GPU that a trial requests: a whole GPU until a similar trial's memory has been measured."""

from collections.abc import Iterable, Mapping
from math import floor, isfinite, nan
from typing import Any

from nefstudy.config import TrialConfig
from nefstudy.ledger import TrialRow
from nefstudy.scalars import canonical_json, digest
from nefstudy.trial.memory import MEMORY, PEAK

MARGIN = 1.2  # over the measured peak: the allocator's slack and each process's context
MEMORY_NEUTRAL = frozenset({"seed", "split_seed", "content", "steps", "init", "epochs", "patience"})
MAX_TRIALS = 8  # on one GPU; more would wait for one another's kernels


def trials_per_gpu(*, memory_mb: float, peak_mb: float) -> int:
    """Return how many trials (1 to 8) with a measured memory peak fit on one GPU, with a safety margin."""
    return max(1, min(MAX_TRIALS, floor(memory_mb / (MARGIN * max(peak_mb, 1.0)))))


def memory_class(config: Mapping[str, Any]) -> str:
    """Return a digest shared by trials that need the same amount of memory.

    It covers the configuration without floats, seeds and step counts.
    """
    return digest(canonical_json(_shape(config)))


def _shape(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _shape(inner) for name, inner in value.items() if name not in MEMORY_NEUTRAL}
    return None if isinstance(value, float) else value


class GpuShares:
    """The share of a GPU that trials of each memory class need, learned from measured trials and the ledger.

    Args:
        whole: GPUs of a trial of an unknown class.
        fixed: whether every trial takes `whole` regardless of its measured memory.
    """

    def __init__(self, whole: float = 0.0, *, fixed: bool = True, rows: Iterable[TrialRow] = ()) -> None:
        self._whole, self._fixed = whole, fixed
        self._fit: dict[str, int] = {}
        for row in () if fixed else rows:
            if PEAK in row.metrics:
                self._learn(row.config, row.metrics)

    def learn(self, trial: TrialConfig, metrics: Mapping[str, float]) -> None:
        """Update the share of a memory class from a trial's measured memory, keeping the largest share."""
        self._learn(trial.model_dump(mode="json"), metrics)

    def _learn(self, config: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
        measured = [metrics.get(name, nan) for name in (PEAK, MEMORY)]  # user code may report NaN
        if not self._fixed and all(isfinite(value) for value in measured):
            fits = trials_per_gpu(memory_mb=metrics[MEMORY], peak_mb=metrics[PEAK])
            name = memory_class(config)
            self._fit[name] = min(fits, self._fit.get(name, MAX_TRIALS))

    def share_of(self, trial: TrialConfig) -> float:
        """Return the GPUs to request for a trial: 1/k if k trials of its class fit on one GPU."""
        if self._fixed:
            return self._whole
        return self._whole / self._fit.get(memory_class(trial.model_dump(mode="json")), 1)
