"""The neural datasets that trials of one run have found, which need no fit."""

from typing import final

from nefstudy.ledger import Lease, Ledger, NeuralDatasetRow
from nefstudy.paths import dataset_path
from nefstudy.study.samplers.stream import Suggestion
from nefstudy.tasks.result import TrialResult


@final
class Ready:
    """Rungs by neural dataset; the ledger has a row of each, even if the worker that fitted it died."""

    def __init__(self, ledger: Ledger, lease: Lease) -> None:
        self._ledger, self._lease = ledger, lease
        self._rungs: dict[str, set[int]] = {}

    def missing(self, suggestion: Suggestion) -> set[str]:
        """Return the neural datasets that a trial needs at a rung that no trial of this run has found."""
        return {need.digest for need in suggestion.needs if need.rung not in self._rungs.get(need.digest, ())}

    def forget(self, dataset: str) -> None:
        """Forget a neural dataset that is removed."""
        self._rungs.pop(dataset, None)

    def record(self, suggestion: Suggestion, result: TrialResult) -> None:
        """Remember what a trial has read, and record it in the ledger where that does not know it."""
        is_known = all(digest in self._rungs or self._is_recorded(digest) for digest in suggestion.datasets)
        for need in suggestion.needs:
            found = result.rungs if need.digest == result.dataset else ()
            self._rungs.setdefault(need.digest, set()).update(found or suggestion.ladders[need.digest])
        if result.dataset is not None and (result.fitted or not is_known):
            path, size = dataset_path(result.dataset), result.dataset_bytes
            row = NeuralDatasetRow(result.dataset, path, result.rungs, size, result.fingerprint)
            self._ledger.datasets.put(row, lease=self._lease)

    def _is_recorded(self, dataset: str) -> bool:
        row = self._ledger.datasets.get(dataset)
        return row is not None and row.state == "present"
