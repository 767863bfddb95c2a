"""The neural datasets that trials of one run have found, which need no fit."""

from typing import final

from nefstudy.ledger import Lease, Ledger, NeuralDatasetRow
from nefstudy.paths import dataset_path
from nefstudy.study.streams import Suggestion
from nefstudy.trial.result import TrialResult


@final
class Ready:
    """Rungs by neural dataset; the ledger has a row of each, even if the worker that fitted it died."""

    def __init__(self, ledger: Ledger, lease: Lease) -> None:
        self._ledger, self._lease = ledger, lease
        self._rungs: dict[str, set[int]] = {}

    def holds(self, suggestion: Suggestion) -> bool:
        """Return whether a trial of this run has found the trial's rung."""
        return suggestion.trial.steps in self._rungs.get(suggestion.dataset, ())

    def forget(self, dataset: str) -> None:
        """Forget a neural dataset that is removed."""
        self._rungs.pop(dataset, None)

    def record(self, suggestion: Suggestion, result: TrialResult) -> None:
        """Remember what a trial has read, and record it in the ledger where that does not know it."""
        is_known = suggestion.dataset in self._rungs or self._is_recorded(suggestion.dataset)
        self._rungs.setdefault(suggestion.dataset, set()).update(result.rungs or suggestion.rungs)
        if result.fitted or not is_known:
            path, size = dataset_path(result.dataset), result.dataset_bytes
            row = NeuralDatasetRow(result.dataset, path, result.rungs, size, result.fingerprint)
            self._ledger.datasets.put(row, lease=self._lease)

    def _is_recorded(self, dataset: str) -> bool:
        row = self._ledger.datasets.get(dataset)
        return row is not None and row.state == "present"
