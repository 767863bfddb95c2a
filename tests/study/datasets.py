"""Functions that create just enough of a run's neural datasets to test their removal."""

from pathlib import Path

from nefstudy.ledger import Ledger, NeuralDatasetRow
from nefstudy.paths import dataset_path, manifest_path


def finish(run, ledger, root, result, *, most: int = 1000) -> list[tuple[str, float]]:
    """Run trials one by one, creating each neural dataset once; return each trial's dataset and accuracy."""
    seen: list[tuple[str, float]] = []
    while len(seen) < most and (suggestion := run.next("t")) is not None:
        (digest,) = suggestion.datasets
        if digest not in {dataset for dataset, _ in seen}:
            put(ledger, root, digest)
        value = (int(suggestion.trial.key[:6], 16) % 1000) / 1000
        run.completed("t", result(value))
        seen.append((digest, value))
    return seen


def put(ledger: Ledger, root: Path, digest: str, *, size: int = 100) -> None:
    """Create just enough of a neural dataset to test its removal: a manifest, a shard and a ledger row."""
    for path in (manifest_path(digest), f"{dataset_path(digest)}/rung-00000004/shard-00000.arrow"):
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x" * (size // 2))
    ledger.datasets.put(NeuralDatasetRow(digest, dataset_path(digest), rungs=(4,), bytes=size, fingerprint={}))
