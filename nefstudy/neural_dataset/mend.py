"""Mending: what does not verify is taken away, so that the next fit makes that anew and nothing else."""

import hashlib
import json
from contextlib import suppress
from functools import partial

from nefstudy.errors import BadNeuralDataset
from nefstudy.neural_dataset.receipts import find_receipt, rungs_begun
from nefstudy.neural_dataset.remove import remove_if
from nefstudy.neural_dataset.schema import MAJOR, Manifest, Receipt
from nefstudy.paths import dataset_path, manifest_path, receipt_file, rung_folder, shard_file, shard_index
from nefstudy.storage import Storage


def remove_damage(root: str, digest: str) -> tuple[str, ...]:
    """The shards removed because they do not match their receipt or the manifest, which goes with them.

    A fit then finds these shards missing. Nothing of a newer format or of another neural dataset is touched.

    Raises:
        BadNeuralDataset: what is there is of a newer format, or another neural dataset.
    """
    storage = Storage.at(root)
    manifest, known = _manifest(storage, digest)
    removed = []
    for steps in rungs_begun(storage, digest):
        names = storage.names(f"{dataset_path(digest)}/{rung_folder(steps)}")
        for index in sorted({index for name in names if (index := shard_index(name)) is not None}):
            path = f"{dataset_path(digest)}/{shard_file(steps, index)}"
            if not _is_whole(storage, digest, known, steps=steps, index=index):
                damaged = partial(_is_damaged, storage, digest, steps=steps, index=index)
                if remove_if(storage, path, may_go=damaged) or storage.size(path) is None:
                    removed.append(storage.locate(path))
    if removed or manifest is None or _lost(storage, manifest):
        remove_if(storage, manifest_path(digest), may_go=partial(_is_unserved, storage, digest))
    return tuple(removed)


def _manifest(storage: Storage, digest: str) -> tuple[Manifest | None, dict[str, str]]:
    """The manifest if it verifies, and the hash of each of its shards by file name."""
    path = manifest_path(digest)
    manifest = None if storage.size(path) is None else _verified(storage, digest, storage.read(path))
    rungs = () if manifest is None else manifest.rungs
    return manifest, {shard.file: shard.sha256 for rung in rungs for shard in rung.shards}


def _verified(storage: Storage, digest: str, text: bytes) -> Manifest | None:
    """Return the manifest in a file's bytes, None where it is damaged.

    Raises:
        BadNeuralDataset: it is of a newer format, or of another neural dataset.
    """
    where = storage.locate(manifest_path(digest))
    with suppress(ValueError, KeyError, TypeError):
        if json.loads(text)["format"]["major"] > MAJOR:
            Manifest.from_json(text, where=where)  # says that it is newer
    manifest = None
    with suppress(BadNeuralDataset):
        manifest = Manifest.from_json(text, where=where)
    if manifest is not None and manifest.digest != digest:  # whole, and somebody's: not ours to remove
        raise BadNeuralDataset(f"{where} is of neural dataset {manifest.digest}; move it back where it belongs")
    return manifest


def _lost(storage: Storage, manifest: Manifest) -> bool:
    """Return whether a shard that the manifest names is missing."""
    files = (shard.file for rung in manifest.rungs for shard in rung.shards)
    return any(storage.size(f"{dataset_path(manifest.digest)}/{file}") is None for file in files)


def _is_unserved(storage: Storage, digest: str, text: bytes) -> bool:
    """Return whether a manifest of these bytes is damaged or names a missing shard."""
    manifest = _verified(storage, digest, text)
    return manifest is None or _lost(storage, manifest)


def _is_whole(storage: Storage, digest: str, known: dict[str, str], *, steps: int, index: int) -> bool:
    receipt = find_receipt(storage, digest, steps=steps, index=index)
    if receipt is None:
        return False
    found = hashlib.sha256(storage.buffer(f"{dataset_path(digest)}/{receipt.shard.file}")).hexdigest()
    return found == receipt.shard.sha256 == known.get(receipt.shard.file, found)


def _is_damaged(storage: Storage, digest: str, data: bytes, *, steps: int, index: int) -> bool:
    """Return whether a shard of these bytes is not what its receipt and the manifest say, as they are now."""
    path, file = f"{dataset_path(digest)}/{receipt_file(steps, index)}", shard_file(steps, index)
    receipt = None if storage.size(path) is None else Receipt.from_json(storage.read(path))
    if receipt is None or receipt.shard.file != file:
        return True
    found = hashlib.sha256(data).hexdigest()
    return not found == receipt.shard.sha256 == _manifest(storage, digest)[1].get(file, found)
