"""Repair of neural datasets: damaged shards are removed, so that the next fit recomputes only these shards."""

import hashlib
import json
from contextlib import suppress
from functools import partial

from nefstudy.errors import BadNeuralDataset
from nefstudy.neural_dataset.receipts import find_receipt, started_rungs
from nefstudy.neural_dataset.remove import remove_if
from nefstudy.neural_dataset.schema import MAJOR, Manifest, Receipt
from nefstudy.paths import dataset_path, manifest_path, receipt_file, rung_folder, shard_file, shard_index
from nefstudy.storage import Storage


def remove_damage(root: str, digest: str) -> tuple[str, ...]:
    """Remove the shards that do not match their receipt or the manifest, then remove the manifest.

    Return the paths of all removed files.
    A fit then recomputes these shards. Files of a newer format or of another neural dataset are not touched.

    Raises:
        BadNeuralDataset: the manifest is of a newer format or of another neural dataset.
    """
    storage = Storage.at(root)
    manifest, hashes = _manifest(storage, digest)
    removed = []
    for steps in started_rungs(storage, digest):
        names = storage.names(f"{dataset_path(digest)}/{rung_folder(steps)}")
        for index in sorted({index for name in names if (index := shard_index(name)) is not None}):
            path = f"{dataset_path(digest)}/{shard_file(steps, index)}"
            if not _is_intact(storage, digest, hashes, steps=steps, index=index):
                damaged = partial(_is_damaged, storage, digest, steps=steps, index=index)
                if remove_if(storage, path, condition=damaged) or storage.size(path) is None:
                    removed.append(storage.locate(path))
    if removed or manifest is None or _lacks_shard(storage, manifest):
        remove_if(storage, manifest_path(digest), condition=partial(_is_unusable, storage, digest))
    return tuple(removed)


def _manifest(storage: Storage, digest: str) -> tuple[Manifest | None, dict[str, str]]:
    """Return the manifest (None if missing or damaged), and the hashes of its shards by file name."""
    path = manifest_path(digest)
    manifest = None if storage.size(path) is None else _verified(storage, digest, storage.read(path))
    rungs = () if manifest is None else manifest.rungs
    return manifest, {shard.file: shard.sha256 for rung in rungs for shard in rung.shards}


def _verified(storage: Storage, digest: str, text: bytes) -> Manifest | None:
    """Parse a manifest from a file's bytes; return None if it is damaged.

    Raises:
        BadNeuralDataset: it is of a newer format or of another neural dataset.
    """
    where = storage.locate(manifest_path(digest))
    with suppress(ValueError, KeyError, TypeError):
        if json.loads(text)["format"]["major"] > MAJOR:
            Manifest.from_json(text, where=where)  # raises, naming the version
    manifest = None
    with suppress(BadNeuralDataset):
        manifest = Manifest.from_json(text, where=where)
    if manifest is not None and manifest.digest != digest:  # an intact manifest in the wrong directory
        raise BadNeuralDataset(
            f"{where} belongs to neural dataset {manifest.digest}; move it back to the folder of that name"
        )
    return manifest


def _lacks_shard(storage: Storage, manifest: Manifest) -> bool:
    """Return whether a shard that the manifest names is missing."""
    files = (shard.file for rung in manifest.rungs for shard in rung.shards)
    return any(storage.size(f"{dataset_path(manifest.digest)}/{file}") is None for file in files)


def _is_unusable(storage: Storage, digest: str, text: bytes) -> bool:
    """Return whether a manifest's bytes are damaged or name a missing shard."""
    manifest = _verified(storage, digest, text)
    return manifest is None or _lacks_shard(storage, manifest)


def _is_intact(storage: Storage, digest: str, hashes: dict[str, str], *, steps: int, index: int) -> bool:
    receipt = find_receipt(storage, digest, steps=steps, index=index)
    if receipt is None:
        return False
    sha256 = hashlib.sha256(storage.buffer(f"{dataset_path(digest)}/{receipt.shard.file}")).hexdigest()
    return sha256 == receipt.shard.sha256 == hashes.get(receipt.shard.file, sha256)


def _is_damaged(storage: Storage, digest: str, data: bytes, *, steps: int, index: int) -> bool:
    """Return whether a shard's bytes do not match its current receipt and manifest."""
    path, file = f"{dataset_path(digest)}/{receipt_file(steps, index)}", shard_file(steps, index)
    receipt = None if storage.size(path) is None else Receipt.from_json(storage.read(path))
    if receipt is None or receipt.shard.file != file:
        return True
    sha256 = hashlib.sha256(data).hexdigest()
    return not sha256 == receipt.shard.sha256 == _manifest(storage, digest)[1].get(file, sha256)
