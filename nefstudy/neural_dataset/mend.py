"""Mending: what does not verify is taken away, so that the next fit makes that anew and nothing else."""

import hashlib
import json
from contextlib import suppress

from nefstudy.errors import BadNeuralDataset
from nefstudy.neural_dataset.receipts import find_receipt, rungs_begun
from nefstudy.neural_dataset.schema import MAJOR, Manifest
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
            if not _is_whole(storage, digest, known, steps=steps, index=index):
                for name in (shard_file(steps, index), receipt_file(steps, index)):
                    storage.remove(f"{dataset_path(digest)}/{name}")
                removed.append(storage.locate(f"{dataset_path(digest)}/{shard_file(steps, index)}"))
    lost = [name for name in known if storage.size(f"{dataset_path(digest)}/{name}") is None]
    if removed or lost or manifest is None:
        storage.remove(manifest_path(digest))
    return tuple(removed)


def _manifest(storage: Storage, digest: str) -> tuple[Manifest | None, dict[str, str]]:
    """The manifest if it verifies, and the hash of each of its shards by file name."""
    path = manifest_path(digest)
    if storage.size(path) is None:
        return None, {}
    text = storage.read(path)
    with suppress(ValueError, KeyError, TypeError):
        if json.loads(text)["format"]["major"] > MAJOR:
            Manifest.from_json(text, where=storage.locate(path))  # says that it is newer
    manifest = None
    with suppress(BadNeuralDataset):
        manifest = Manifest.from_json(text, where=storage.locate(path))
    if manifest is None:
        return None, {}
    if manifest.digest != digest:  # whole, and somebody's: not ours to remove
        raise BadNeuralDataset(
            f"{storage.locate(path)} is of neural dataset {manifest.digest}; move it back where it belongs"
        )
    return manifest, {shard.file: shard.sha256 for rung in manifest.rungs for shard in rung.shards}


def _is_whole(storage: Storage, digest: str, known: dict[str, str], *, steps: int, index: int) -> bool:
    receipt = find_receipt(storage, digest, steps=steps, index=index)
    if receipt is None:
        return False
    found = hashlib.sha256(storage.buffer(f"{dataset_path(digest)}/{receipt.shard.file}")).hexdigest()
    return found == receipt.shard.sha256 == known.get(receipt.shard.file, found)
