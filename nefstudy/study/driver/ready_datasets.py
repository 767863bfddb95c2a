"""The neural datasets that trials of this run have already used and that need no fit."""

from typing import final

from nefstudy.ledger import Lease, Ledger, NeuralDatasetRow
from nefstudy.paths import dataset_path
from nefstudy.study.samplers.stream import Suggestion
from nefstudy.tasks.result import TrialResult


@final
class ReadyDatasets:
    """The rungs of each neural dataset that are known to be fitted."""

    def __init__(self, ledger: Ledger, lease: Lease) -> None:
        self._ledger, self._lease = ledger, lease
        self._rungs: dict[str, set[int]] = {}

    def missing(self, suggestion: Suggestion) -> set[str]:
        """Return the neural datasets that a trial needs at a rung not yet used by any trial of this run."""
        return {need.digest for need in suggestion.needs if need.rung not in self._rungs.get(need.digest, ())}

    def forget(self, dataset: str) -> None:
        """Forget a neural dataset that was removed."""
        self._rungs.pop(dataset, None)

    def record(self, suggestion: Suggestion, result: TrialResult) -> None:
        """Record the neural datasets that a trial used.

        A dataset is also recorded in the ledger if the trial fitted it or if it is missing there.
        """
        rungs: dict[str, tuple[int, ...]] = {}
        for used in result.datasets:
            rungs[used.digest] = used.rungs
            if used.fitted or not self._is_known(used.digest):
                path = dataset_path(used.digest)
                row = NeuralDatasetRow(used.digest, path, used.rungs, used.bytes, used.fingerprint)
                self._ledger.datasets.put(row, lease=self._lease)
        for digest in suggestion.datasets:
            self._rungs.setdefault(digest, set()).update(rungs.get(digest) or suggestion.ladders[digest])

    def _is_known(self, dataset: str) -> bool:
        if dataset in self._rungs:
            return True
        row = self._ledger.datasets.get(dataset)
        return row is not None and row.state == "present"
