"""Shards as they are written: each with a receipt beside it, by which a killed fit resumes."""

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
    """Write a shard, then its receipt; a receipt is never there before its shard."""
    name = shard_file(steps, index)
    record = ShardRecord(file=name, sha256=hashlib.sha256(data).hexdigest(), bytes=len(data), rows=rows)
    receipt = Receipt(shard=record, fingerprint=fingerprint)
    storage.remove(f"{dataset_path(digest)}/{receipt_file(steps, index)}")
    storage.write(f"{dataset_path(digest)}/{name}", data)
    storage.write(f"{dataset_path(digest)}/{receipt_file(steps, index)}", receipt.to_json())
    return receipt


def find_receipt(storage: Storage, digest: str, *, steps: int, index: int) -> Receipt | None:
    """The receipt of a shard, if it and a shard of its size are there; a damaged one counts as none."""
    base, path = dataset_path(digest), receipt_file(steps, index)
    if storage.size(f"{base}/{path}") is None:
        return None
    receipt = Receipt.from_json(storage.read(f"{base}/{path}"))
    if receipt is None or receipt.shard.file != shard_file(steps, index):
        return None
    return receipt if storage.size(f"{base}/{receipt.shard.file}") == receipt.shard.bytes else None


def first_receipt(storage: Storage, digest: str, *, steps: int) -> Receipt | None:
    """The receipt of the first shard of a rung that has one."""
    names = storage.names(f"{dataset_path(digest)}/{rung_folder(steps)}")
    indices = (index for name in names if name.endswith(".json") and (index := shard_index(name)) is not None)
    found = (find_receipt(storage, digest, steps=steps, index=index) for index in indices)
    return next((receipt for receipt in found if receipt is not None), None)


def rungs_begun(storage: Storage, digest: str) -> tuple[int, ...]:
    """Step counts of which any shard may be there, ascending."""
    found = (rung_steps(name) for name in storage.names(dataset_path(digest)))
    return tuple(sorted(steps for steps in found if steps is not None))


def sweep(storage: Storage, digest: str, *, kept: tuple[int, ...]) -> None:
    """Remove what a killed writer left half-written, and whole rungs that are not kept."""
    for steps in rungs_begun(storage, digest):
        folder = f"{dataset_path(digest)}/{rung_folder(steps)}"
        if steps not in kept:
            storage.remove(folder)
            continue
        storage.sweep(folder)
    storage.sweep(dataset_path(digest))
