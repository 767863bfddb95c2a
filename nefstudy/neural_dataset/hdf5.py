"""Import of neural datasets published as HDF5, in the layout of fit-a-nef and the Neural Field Arena.

Files are named `nefs_{start}-{end}.hdf5`. Each has `params` (n, P) float32, `labels` (n,) and `param_config`, which is
JSON of [name, shape] in the order of a row: bias before kernel, kernels (fan_in, fan_out), like rows of this project.
The JSON is a string in a dataset of shape (1,), a scalar or an attribute.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int

from nefstudy.errors import BadConfig, BadNeuralDataset
from nefstudy.fields.catalog import build
from nefstudy.fields.field import NeuralField, parameter_count
from nefstudy.neural_dataset.origin import Origin
from nefstudy.neural_dataset.read import NeuralDataset
from nefstudy.neural_dataset.receipts import put_shard
from nefstudy.neural_dataset.schema import RungRecord, new_manifest, shard_bytes, shard_schema
from nefstudy.neural_dataset.shards import Shard, all_shards
from nefstudy.paths import manifest_path
from nefstudy.signals.splits import stratified_split
from nefstudy.storage import Storage

NAME = re.compile(r"nefs_(\d+)-(\d+)\.hdf5")
NUMBERED = re.compile(r"(?P<stem>\w+?)_(?P<number>\d+)\.")
SPLIT_SEED = 1


def import_hdf5(folder: Path, root: str, *, origin: Origin) -> NeuralDataset:
    """Import a folder of HDF5 files into the root as a neural dataset, and return it.

    Its quality columns are NaN, because quality is unknown without the signals.

    Raises:
        BadNeuralDataset: a file is missing, damaged or has rows of another field; names the file and the fix.
        BadConfig: the field or the counts do not match the files, or h5py is not installed.
    """
    field = build(origin.field, in_dim=len(origin.grid), out_dim=origin.channels)
    files = _files(folder)
    labels = np.concatenate([_labels(file, field=field) for file in files])
    source = _hash(files)
    recipe = origin.recipe(source)
    fingerprint = {"engine": "imported", "format": "nefs hdf5", "source_sha256": source, "values": origin.values}
    storage, order = Storage.at(root), _order(origin, field)
    split = _split(labels, counts=origin.counts)
    records = []
    for shard in all_shards(len(labels), 1):
        schema = shard_schema(
            parameter_count(field),
            origin.signal_kind.metrics,
            digest=recipe.digest,
            steps=origin.steps,
            index=shard.index,
        )
        parameters = _rows(files, int(shard.rows[0]), int(shard.rows[-1]) + 1)[:, order]
        data = shard_bytes(_columns(parameters, shard, schema=schema, labels=labels, split=split), schema)
        receipt = put_shard(
            storage,
            recipe.digest,
            data,
            steps=origin.steps,
            index=shard.index,
            rows=len(shard.rows),
            fingerprint=fingerprint,
        )
        records.append(receipt.shard)
    rungs = [RungRecord(steps=origin.steps, shards=tuple(records))]
    card = origin.card(source, classes=int(labels.max()) + 1)
    manifest = new_manifest(
        recipe,
        field=field,
        card=card,
        quality=origin.signal_kind.metrics,
        fingerprint=fingerprint,
        rows=len(labels),
        rungs=rungs,
    )
    storage.write(manifest_path(recipe.digest), manifest.to_json())
    return NeuralDataset(storage, manifest, field)


@dataclass(frozen=True)
class _File:
    path: Path
    first: int
    rows: int


def _files(folder: Path) -> list[_File]:
    """Return the files in the order of their row ranges, which must be contiguous and start at 0."""
    named = [(match, path) for path in folder.glob("nefs_*.hdf5") if (match := NAME.fullmatch(path.name))]
    if not named:
        raise BadNeuralDataset(f"{folder} contains no nefs_START-END.hdf5; give the folder of the published files")
    ranges = sorted((int(match[1]), int(match[2]), path) for match, path in named)
    files: list[_File] = []
    for first, end, path in ranges:
        expected = files[-1].first + files[-1].rows if files else 0
        if first != expected:
            raise BadNeuralDataset(f"{folder}: {path.name} follows row {expected}, so a file is missing; get it")
        with _open(path) as file:
            rows = len(file["params"])
        if rows not in (end - first, end - first + 1):
            raise BadNeuralDataset(f"{path} has {rows} rows, but its name says {end - first}; download it again")
        files.append(_File(path, first, rows))
    return files


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    try:
        import h5py
    except ModuleNotFoundError:
        raise BadConfig("reading HDF5 needs h5py, which is not installed; run: pip install 'nefstudy[hdf5]'") from None
    try:
        with h5py.File(path) as file:
            missing = [key for key in ("params", "labels", "param_config") if key not in file and key not in file.attrs]
            if missing:
                raise BadNeuralDataset(f"{path} lacks {', '.join(missing)}; it is not a published neural dataset")
            yield file
    except OSError as error:
        reason = " ".join(str(error).split())[:80]
        raise BadNeuralDataset(f"{path} is not a readable HDF5 file ({reason}); download it again") from error


def _labels(file: _File, *, field: NeuralField) -> Int[np.ndarray, " n"]:
    """Return the labels of a file, after checking that its rows have the field's layout."""
    with _open(file.path) as opened:
        _check_layout(_param_config(opened, file.path), field, path=file.path)
        if opened["params"].shape != (file.rows, parameter_count(field)):
            size = parameter_count(field)
            raise BadNeuralDataset(
                f"{file.path}: params have shape {opened['params'].shape}, not ({file.rows}, {size}); download it again"
            )
        labels = np.asarray(opened["labels"])
    if labels.shape != (file.rows,) or labels.dtype.kind not in "iu" or labels.min(initial=0) < 0:
        raise BadNeuralDataset(
            f"{file.path}: labels are {labels.dtype} of shape {labels.shape}, not one class index per row; correct them"
        )
    return labels.astype(np.int64)


def _param_config(file: Any, path: Path) -> list[tuple[str, tuple[int, ...]]]:
    stored = np.asarray(file["param_config"][()] if "param_config" in file else file.attrs["param_config"])
    if stored.size != 1:
        raise BadNeuralDataset(f"{path}: param_config has shape {stored.shape}, not one string; download it again")
    (text,) = stored.reshape(-1).tolist()
    try:
        return [(str(name), tuple(int(extent) for extent in shape)) for name, shape in json.loads(text)]
    except (ValueError, TypeError, RecursionError):
        raise BadNeuralDataset(f"{path}: param_config is not JSON of [name, shape]; download it again") from None


def _check_layout(layout: Sequence[tuple[str, tuple[int, ...]]], field: NeuralField, *, path: Path) -> None:
    expected = [(parameter.name, parameter.shape) for parameter in field.layout]
    for index in range(max(len(layout), len(expected))):
        given = layout[index] if index < len(layout) else ("nothing", ())
        ours = expected[index] if index < len(expected) else ("nothing", ())
        if given[1] != ours[1] or "nothing" in (given[0], ours[0]):
            raise BadNeuralDataset(
                f"{path}: parameter {index} is {given[0]} {given[1]}, but the field has {ours[0]} {ours[1]}; correct "
                "the field's hyperparameters, the grid or the channels"
            )
    last: dict[str, int] = {}
    for name, _ in layout:
        if numbered := NUMBERED.match(name):
            stem, number = numbered["stem"], int(numbered["number"])
            if number < last.get(stem, 0):
                raise BadNeuralDataset(
                    f"{path}: {name} comes after {stem}_{last[stem]}, so layers are out of order; write the file again "
                    "with the parameters sorted by layer"
                )
            last[stem] = number


def _order(origin: Origin, field: NeuralField) -> Int[np.ndarray, " P"]:
    """Return each parameter's position in a published row, in this project's order of parameters.

    If the first coordinate is the column, the rows of kernels that read coordinates are swapped.
    """
    order = np.arange(parameter_count(field))
    if origin.first_axis == "row":
        return order
    inputs = {slot.parameter for edge in field.symmetry.edges if edge.source == 0 for slot in edge.slots}
    begin = 0
    for parameter in field.layout:
        end = begin + math.prod(parameter.shape)
        if parameter.name in inputs:
            order[begin:end] = order[begin:end].reshape(parameter.shape)[::-1].reshape(-1)
        begin = end
    return order


def _hash(files: Sequence[_File]) -> str:
    sha = hashlib.sha256()
    for file in files:
        with file.path.open("rb") as opened:
            sha.update(hashlib.file_digest(opened, "sha256").digest())
    return sha.hexdigest()


def _split(labels: Int[np.ndarray, " n"], *, counts: tuple[int, int, int] | None) -> Int[np.ndarray, " n"]:
    if counts is None:
        return stratified_split(labels, seed=SPLIT_SEED)
    if sum(counts) != len(labels) or min(counts) < 1:
        raise BadConfig(f"split {counts} has {sum(counts)} rows, but the files have {len(labels)}; correct the counts")
    return np.repeat(np.arange(3), counts)


def _columns(
    parameters: Float[np.ndarray, "n P"],
    shard: Shard,
    *,
    schema: pa.Schema,
    labels: Int[np.ndarray, " signals"],
    split: Int[np.ndarray, " signals"],
) -> dict[str, np.ndarray]:
    rows = shard.rows
    finite = np.isfinite(parameters).all(axis=1)
    known = {
        "id": rows.astype(np.int64),
        "view": np.zeros(len(rows), dtype=np.int32),
        "label": labels[rows],
        "split": split[rows].astype(np.int8),
        "parameters": np.where(finite[:, None], parameters, np.float32(np.nan)),
        "diverged_at": np.where(finite, -1, 0).astype(np.int32),
    }
    unknown = {
        column.name: np.full(len(rows), np.nan if pa.types.is_floating(column.type) else -1)
        for column in schema
        if column.name not in known
    }
    return {**known, **unknown}


def _rows(files: Sequence[_File], begin: int, end: int) -> Float[np.ndarray, "n P"]:
    pieces = []
    for file in files:
        low, high = max(begin, file.first), min(end, file.first + file.rows)
        if low < high:
            with _open(file.path) as opened:
                pieces.append(np.asarray(opened["params"][low - file.first : high - file.first], dtype=np.float32))
    return np.concatenate(pieces)
