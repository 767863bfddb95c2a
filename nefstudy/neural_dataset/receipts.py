"""Writing of shards and their receipts, which allow a killed fit to resume."""

import hashlib

from nefstudy.neural_dataset.schema import Receipt, ShardRecord
from nefstudy.paths import dataset_path, receipt_file, rung_folder, rung_steps, shard_file, shard_index
from nefstudy.storage import Storage


def put_shard(
    storage: Storage,
    digest: str,
    data: bytes,
    *,
    steps: int,
    index: int,
    rows: int,
    fingerprint: dict[str, str],
) -> Receipt:
    """Write a shard and then its receipt, so that a receipt never exists before its shard."""
    name = shard_file(steps, index)
    record = ShardRecord(file=name, sha256=hashlib.sha256(data).hexdigest(), bytes=len(data), rows=rows)
    receipt = Receipt(shard=record, fingerprint=fingerprint)
    storage.remove(f"{dataset_path(digest)}/{receipt_file(steps, index)}")
    storage.write(f"{dataset_path(digest)}/{name}", data)
    storage.write(f"{dataset_path(digest)}/{receipt_file(steps, index)}", receipt.to_json())
    return receipt


def find_receipt(storage: Storage, digest: str, *, steps: int, index: int) -> Receipt | None:
    """Return a shard's receipt, or None if the receipt or the shard cannot be used.

    A receipt cannot be used if it is missing or damaged, a shard if it is missing or of another size.
    """
    base, path = dataset_path(digest), receipt_file(steps, index)
    if storage.size(f"{base}/{path}") is None:
        return None
    receipt = Receipt.from_json(storage.read(f"{base}/{path}"))
    if receipt is None or receipt.shard.file != shard_file(steps, index):
        return None
    return receipt if storage.size(f"{base}/{receipt.shard.file}") == receipt.shard.bytes else None


def first_receipt(storage: Storage, digest: str, *, steps: int) -> Receipt | None:
    """Return the first usable receipt among a rung's shards, or None if there is none."""
    names = storage.names(f"{dataset_path(digest)}/{rung_folder(steps)}")
    indices = (index for name in names if name.endswith(".json") and (index := shard_index(name)) is not None)
    receipts = (find_receipt(storage, digest, steps=steps, index=index) for index in indices)
    return next((receipt for receipt in receipts if receipt is not None), None)


def started_rungs(storage: Storage, digest: str) -> tuple[int, ...]:
    """Return the step counts of all rung folders, complete or not, ascending."""
    rungs = (rung_steps(name) for name in storage.names(dataset_path(digest)))
    return tuple(sorted(steps for steps in rungs if steps is not None))


def sweep(storage: Storage, digest: str, *, kept: tuple[int, ...]) -> None:
    """Remove the partial files of a killed writer, and all rungs except `kept`."""
    for steps in started_rungs(storage, digest):
        folder = f"{dataset_path(digest)}/{rung_folder(steps)}"
        if steps not in kept:
            storage.remove(folder)
            continue
        storage.remove_half_written(folder)
    storage.remove_half_written(dataset_path(digest))
