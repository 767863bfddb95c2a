"""Neural datasets published as HDF5, in the layout of fit-a-nef and the Neural Field Arena, made ours.

Files `nefs_{start}-{end}.hdf5`, each with `params` (n, P) float32, `labels` (n,), and `param_config`, JSON of
[name, shape] in the order of a row: bias before kernel, kernels (fan_in, fan_out), as our own rows are. The JSON is
a string in a dataset of shape (1,), or a scalar or an attribute.
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
    """The neural dataset in a folder of HDF5 files, written in our format under the root.

    Quality is not known without the signals, so its columns are NaN.

    Raises:
        BadNeuralDataset: a file is missing, damaged, or holds rows of another field; names it and the fix.
        BadConfig: a field or count that does not fit, or h5py is not installed.
    """
    field = build(origin.field, in_dim=len(origin.grid), out_dim=origin.channels)
    files = _files(folder)
    labels = np.concatenate([_labels(file, field=field) for file in files])
    source = _hash(files)
    recipe = origin.recipe(source)
    marks = {"engine": "imported", "format": "nefs hdf5", "source_sha256": source, "values": origin.values}
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
        rows = _rows(files, int(shard.places[0]), int(shard.places[-1]) + 1)[:, order]
        data = shard_bytes(_columns(rows, shard, schema=schema, labels=labels, split=split), schema)
        receipt = put_shard(
            storage,
            recipe.digest,
            data,
            steps=origin.steps,
            index=shard.index,
            rows=len(shard.places),
            fingerprint=marks,
        )
        records.append(receipt.shard)
    rungs = [RungRecord(steps=origin.steps, shards=tuple(records))]
    card = origin.card(source, classes=int(labels.max()) + 1)
    manifest = new_manifest(
        recipe,
        field=field,
        card=card,
        quality=origin.signal_kind.metrics,
        fingerprint=marks,
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
    """The files in order of their ranges, which must follow each other from 0."""
    named = [(match, path) for path in folder.glob("nefs_*.hdf5") if (match := NAME.fullmatch(path.name))]
    if not named:
        raise BadNeuralDataset(f"{folder} holds no nefs_START-END.hdf5; give the folder of the published files")
    ranges = sorted((int(match[1]), int(match[2]), path) for match, path in named)
    files: list[_File] = []
    for first, end, path in ranges:
        expected = files[-1].first + files[-1].rows if files else 0
        if first != expected:
            raise BadNeuralDataset(f"{folder}: {path.name} follows row {expected}, so a file is missing; get it")
        with _open(path) as file:
            rows = len(file["params"])
        if rows not in (end - first, end - first + 1):
            raise BadNeuralDataset(f"{path} has {rows} rows, its name says {end - first}; download it again")
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
                raise BadNeuralDataset(f"{path} lacks {', '.join(missing)}; it is no published neural dataset")
            yield file
    except OSError as error:
        reason = " ".join(str(error).split())[:80]
        raise BadNeuralDataset(f"{path} is no whole HDF5 file ({reason}); download it again") from error


def _labels(file: _File, *, field: NeuralField) -> Int[np.ndarray, " n"]:
    """The labels of a file whose rows are the field's."""
    with _open(file.path) as opened:
        _check_layout(_param_config(opened, file.path), field, path=file.path)
        if opened["params"].shape != (file.rows, parameter_count(field)):
            wanted = parameter_count(field)
            raise BadNeuralDataset(f"{file.path}: params have shape {opened['params'].shape}, rows are of {wanted}")
        labels = np.asarray(opened["labels"])
    if labels.shape != (file.rows,) or labels.dtype.kind not in "iu" or labels.min(initial=0) < 0:
        raise BadNeuralDataset(
            f"{file.path}: labels are {labels.dtype} of shape {labels.shape}; one index a row is due"
        )
    return labels.astype(np.int64)


def _param_config(file: Any, path: Path) -> list[tuple[str, tuple[int, ...]]]:
    stored = np.asarray(file["param_config"][()] if "param_config" in file else file.attrs["param_config"])
    if stored.size != 1:
        raise BadNeuralDataset(f"{path}: param_config has shape {stored.shape}, not one text; download it again")
    (text,) = stored.reshape(-1).tolist()
    try:
        return [(str(name), tuple(int(extent) for extent in shape)) for name, shape in json.loads(text)]
    except (ValueError, TypeError, RecursionError):
        raise BadNeuralDataset(f"{path}: param_config is not JSON of [name, shape]; download it again") from None


def _check_layout(found: Sequence[tuple[str, tuple[int, ...]]], field: NeuralField, *, path: Path) -> None:
    wanted = [(parameter.name, parameter.shape) for parameter in field.layout]
    for place in range(max(len(found), len(wanted))):
        there = found[place] if place < len(found) else ("nothing", ())
        here = wanted[place] if place < len(wanted) else ("nothing", ())
        if there[1] != here[1] or "nothing" in (there[0], here[0]):
            raise BadNeuralDataset(
                f"{path}: parameter {place} is {there[0]} {there[1]}, the field's {here[0]} {here[1]}; correct the "
                "field's hyperparameters, the grid or the channels"
            )
    last: dict[str, int] = {}
    for name, _ in found:
        if numbered := NUMBERED.match(name):
            stem, number = numbered["stem"], int(numbered["number"])
            if number < last.get(stem, 0):
                raise BadNeuralDataset(
                    f"{path}: {name} comes after {stem}_{last[stem]}, so its layers are not in their order; write the "
                    "file again with the parameters sorted by layer"
                )
            last[stem] = number


def _order(origin: Origin, field: NeuralField) -> Int[np.ndarray, " P"]:
    """Return the columns of a published row in the order of ours: rows of input kernels swap with the axes."""
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
        raise BadConfig(f"split {counts} is of {sum(counts)} rows, the files hold {len(labels)}; give three counts")
    return np.repeat(np.arange(3), counts)


def _columns(
    rows: Float[np.ndarray, "n P"],
    shard: Shard,
    *,
    schema: pa.Schema,
    labels: Int[np.ndarray, " signals"],
    split: Int[np.ndarray, " signals"],
) -> dict[str, np.ndarray]:
    places = shard.places
    sound = np.isfinite(rows).all(axis=1)
    known = {
        "id": places.astype(np.int64),
        "view": np.zeros(len(places), dtype=np.int32),
        "label": labels[places],
        "split": split[places].astype(np.int8),
        "parameters": np.where(sound[:, None], rows, np.float32(np.nan)),
        "diverged_at": np.where(sound, -1, 0).astype(np.int32),
    }
    unknown = {
        column.name: np.full(len(places), np.nan if pa.types.is_floating(column.type) else -1)
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
