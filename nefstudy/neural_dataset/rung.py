"""One rung of a neural dataset, read from its shards and checked against their hashes."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nefstudy.errors import BadNeuralDataset
from nefstudy.neural_dataset.schema import Manifest, ShardRecord, shard_schema
from nefstudy.paths import dataset_path
from nefstudy.storage import Storage


@dataclass(frozen=True, eq=False)
class Rung:
    """All fields at one step count: n rows, ordered by view, and within a view in the order of the signals.

    Attributes:
        parameters: flat rows; NaN for diverged fields.
        ids: ids of the signals.
        labels: class indices, -1 without labels.
        split: 0 train, 1 validation, 2 test, -1 without a split.
        diverged_at: step count at which the loss was first not finite, or -1.
        stopped_at: step count at which the field had reached the PSNR of `stop_psnr`, or -1.
        constant: 1 if the field's reconstruction has no variance, otherwise 0; -1 if it diverged or was not measured.
        quality: metric name -> one number per field; NaN for diverged fields.
    """

    steps: int
    parameters: Float[Tensor, "n N"]
    ids: Int[Tensor, " n"]
    views: Int[Tensor, " n"]
    labels: Int[Tensor, " n"]
    split: Int[Tensor, " n"]
    diverged_at: Int[Tensor, " n"]
    stopped_at: Int[Tensor, " n"]
    constant: Int[Tensor, " n"]
    quality: Mapping[str, Float[np.ndarray, " n"]]

    @property
    def diverged(self) -> Bool[Tensor, " n"]:
        """Mask of the fields without usable parameters."""
        return self.diverged_at >= 0


def read_rung(storage: Storage, manifest: Manifest, *, steps: int, verify: bool) -> Rung:
    """Return every field at a step count, as tensors that own their memory.

    Raises:
        BadNeuralDataset: no such rung, or a shard that is missing or damaged; names the file.
    """
    columns = read_columns(storage, manifest, manifest.columns, steps=steps, verify=verify)
    numbers = {
        name: torch.from_numpy(columns[name].astype(np.int64))
        for name in ("id", "view", "label", "split", "diverged_at", "stopped_at", "constant")
    }
    return Rung(
        steps=steps,
        parameters=torch.from_numpy(columns["parameters"]),
        ids=numbers["id"],
        views=numbers["view"],
        labels=numbers["label"],
        split=numbers["split"],
        diverged_at=numbers["diverged_at"],
        stopped_at=numbers["stopped_at"],
        constant=numbers["constant"],
        quality={name: columns[name] for name in manifest.quality},
    )


def read_columns(
    storage: Storage, manifest: Manifest, names: Sequence[str], *, steps: int, verify: bool
) -> dict[str, np.ndarray]:
    """Return the named columns of a rung.

    Without `verify`, only the pages of these columns are read from a local file.
    """
    batches = list(read_batches(storage, manifest, steps=steps, verify=verify))
    return {name: np.concatenate([_values(batch.column(name)) for batch in batches]) for name in names}


def read_batches(storage: Storage, manifest: Manifest, *, steps: int, verify: bool) -> Iterator[Any]:
    """Yield the Arrow record batches of a rung, one per shard, memory-mapped if local."""
    for index, record in enumerate(manifest.rung(steps).shards):
        yield _read_shard(storage, manifest, record, steps=steps, index=index, verify=verify)


def check_shard(storage: Storage, digest: str, record: ShardRecord, *, content: bool = True) -> None:
    """Raise an error if a shard is missing, has the wrong size or, with `content`, the wrong hash.

    Raises:
        BadNeuralDataset: names the file.
    """
    path = f"{dataset_path(digest)}/{record.file}"
    where, size = storage.locate(path), storage.size(path)
    if size is None:
        raise BadNeuralDataset(f"{where} is missing; run the fit again to restore it")
    if size != record.bytes:
        raise BadNeuralDataset(f"{where} has {size} bytes instead of {record.bytes}; remove it and run the fit again")
    if content and hashlib.sha256(storage.buffer(path)).hexdigest() != record.sha256:
        raise BadNeuralDataset(f"{where} does not match its hash: it is damaged; remove it and run the fit again")


def _read_shard(
    storage: Storage, manifest: Manifest, record: ShardRecord, *, steps: int, index: int, verify: bool
) -> Any:
    check_shard(storage, manifest.digest, record, content=verify)
    path = f"{dataset_path(manifest.digest)}/{record.file}"
    where = storage.locate(path)
    buffer = storage.buffer(path)  # outside the try: a failure to read does not mean that the file is damaged
    try:
        with pa.ipc.open_file(pa.BufferReader(buffer)) as file:
            batch, schema = file.get_batch(0), file.schema
    except (pa.ArrowInvalid, OSError) as error:
        raise BadNeuralDataset(f"{where} is not an Arrow file ({error}); remove it and run the fit again") from None
    size = sum(int(np.prod(p.shape)) for p in manifest.layout)
    expected = shard_schema(size, manifest.quality, digest=manifest.digest, steps=steps, index=index)
    if not schema.equals(expected, check_metadata=True) or batch.num_rows != record.rows:
        raise BadNeuralDataset(
            f"{where} is not shard {index} of rung {steps} of {manifest.digest}; remove it and run the fit again"
        )
    return batch


def _values(column: Any) -> np.ndarray:
    if pa.types.is_fixed_size_list(column.type):
        size = column.type.list_size
        flat: np.ndarray = column.flatten().to_numpy(zero_copy_only=True)
        return flat.reshape(-1, size)
    values: np.ndarray = column.to_numpy(zero_copy_only=True)
    return values
