"""The format as types: manifest, receipts, shard columns and paths. FORMAT.md is its prose."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nefstudy.config import NeuralDatasetConfig, first_problem
from nefstudy.errors import BadConfig, BadNeuralDataset
from nefstudy.fields.field import NeuralField
from nefstudy.scalars import canonical_json
from nefstudy.signals.signal import SignalCard

FORMAT = "nefstudy-neural-dataset"
MAJOR, MINOR = 1, 0
SHARD_SIGNALS = 512
COLUMNS = ("id", "view", "label", "split", "parameters", "diverged_at", "stopped_at")
"""Columns of every shard; those of the kind's quality metrics follow."""


class Record(BaseModel):
    """A part of the manifest; keys this version does not know are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class ShardRecord(Record):
    """One shard file: its path below the dataset, its content hash and its size."""

    file: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    bytes: Annotated[int, Field(ge=1)]
    rows: Annotated[int, Field(ge=1)]


class RungRecord(Record):
    """One step count and its shards, in row order."""

    steps: Annotated[int, Field(ge=0)]
    shards: tuple[ShardRecord, ...]

    @property
    def sha256(self) -> str:
        """Hash over the hashes of its shards, in order: equal bytes, equal hash."""
        return hashlib.sha256("".join(shard.sha256 for shard in self.shards).encode()).hexdigest()


class ParameterRecord(Record):
    """One named parameter in the flat row."""

    name: str
    shape: tuple[int, ...]
    trained: bool


class Version(Record):
    """Name and version of the format."""

    name: Literal["nefstudy-neural-dataset"]
    major: int
    minor: int


class Receipt(Record):
    """Beside each shard: what it is, and how it was computed; lets a killed fit resume."""

    shard: ShardRecord
    fingerprint: dict[str, str]
    checksum: str = ""

    def to_json(self) -> bytes:
        """Indented, sorted JSON with its checksum filled in."""
        return _signed(self)

    @classmethod
    def from_json(cls, text: bytes) -> "Receipt | None":
        """The receipt in a file's bytes, or None where it is damaged."""
        try:
            data = json.loads(text)
            return cls.model_validate(data) if data["checksum"] == checksum(data, cls) else None
        except (ValueError, KeyError, TypeError):
            return None


class Manifest(Record):
    """What a neural dataset is; written last, once every shard is there.

    Attributes:
        recipe: the configuration whose digest names the dataset, as plain data.
        fingerprint: how it was computed.
        layout: the flat row, parameter by parameter.
        symmetry: the field's graph and group as plain data, for readers without this library.
        rows: signals x views, in every rung.
        checksum: SHA-256 of the canonical JSON of the other keys above.
    """

    format: Version
    digest: str
    recipe: dict[str, Any]
    fingerprint: dict[str, str]
    card: SignalCard
    field: dict[str, Any]
    layout: tuple[ParameterRecord, ...]
    symmetry: dict[str, Any]
    columns: tuple[str, ...]
    rows: Annotated[int, Field(ge=1)]
    rungs: tuple[RungRecord, ...]
    checksum: str = ""

    def to_json(self) -> bytes:
        """Indented, sorted JSON with its checksum filled in."""
        return _signed(self)

    @classmethod
    def from_json(cls, text: bytes, *, where: str) -> "Manifest":
        """The manifest in a file's bytes.

        Raises:
            BadNeuralDataset: not JSON, damaged, of a newer major version, or lacking something.
        """
        try:
            data = json.loads(text)
        except ValueError:
            raise BadNeuralDataset(f"{where} is not JSON: it is damaged; remove it and run the fit again") from None
        _check_version(data, where)
        if data.get("checksum") != checksum(data, cls):
            raise BadNeuralDataset(f"{where} does not match its checksum: it is damaged; run the fit again")
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise BadNeuralDataset(first_problem(error, where=where)) from None

    @property
    def quality(self) -> tuple[str, ...]:
        """Names of the quality columns, the headline first."""
        return tuple(name for name in self.columns if name not in COLUMNS)

    def rung(self, steps: int) -> RungRecord:
        """The record of a step count.

        Raises:
            BadNeuralDataset: the dataset has no such rung.
        """
        for record in self.rungs:
            if record.steps == steps:
                return record
        have = ", ".join(str(record.steps) for record in self.rungs)
        raise BadNeuralDataset(f"neural dataset {self.digest}: no rung {steps}; it has {have}; fit the one you need")


def checksum(data: Mapping[str, Any], kind: type[Record]) -> str:
    """SHA-256 of the canonical JSON of a record's own keys, its checksum apart; other keys may be added."""
    own = {key: value for key, value in data.items() if key in kind.model_fields and key != "checksum"}
    return hashlib.sha256(canonical_json(own).encode()).hexdigest()


def shard_schema(size: int, quality: Sequence[str], *, digest: str, steps: int, index: int) -> pa.Schema:
    """Return the columns of a shard; its metadata names the shard and its dataset.

    Raises:
        BadConfig: a quality metric named as another column.
    """
    if taken := set(quality) & set(COLUMNS):
        raise BadConfig(f"quality metric {min(taken)!r} has the name of another column of a shard; rename it")
    row = pa.list_(pa.field("item", pa.float32(), nullable=False), size)
    types = (pa.int64(), pa.int32(), pa.int64(), pa.int8(), row, pa.int32(), pa.int32())
    columns = [*zip(COLUMNS, types, strict=True), *((name, pa.float32()) for name in quality)]
    metadata = {"format": f"{FORMAT} {MAJOR}.{MINOR}", "digest": digest, "steps": str(steps), "shard": str(index)}
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in columns], metadata=metadata)


def shard_bytes(columns: Mapping[str, np.ndarray], schema: pa.Schema) -> bytes:
    """An Arrow IPC file of one record batch, uncompressed, so that it can be mapped."""
    arrays = []
    for column in schema:
        values = columns[column.name]
        if pa.types.is_fixed_size_list(column.type):
            flat = pa.array(np.ascontiguousarray(values, dtype=np.float32).reshape(-1))
            arrays.append(pa.FixedSizeListArray.from_arrays(flat, type=column.type))
        else:
            arrays.append(pa.array(values).cast(column.type))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
    return bytes(sink.getvalue())


def new_manifest(
    recipe: NeuralDatasetConfig,
    *,
    field: NeuralField,
    card: SignalCard,
    quality: Sequence[str],
    fingerprint: Mapping[str, str],
    rows: int,
    rungs: Sequence[RungRecord],
) -> Manifest:
    """Return the manifest of a finished neural dataset."""
    return Manifest(
        format=Version(name=FORMAT, major=MAJOR, minor=MINOR),
        digest=recipe.digest,
        recipe=recipe.model_dump(mode="json"),
        fingerprint=dict(fingerprint),
        card=card,
        field={"name": recipe.field.name, "in_dim": field.in_dim, "out_dim": field.out_dim},
        layout=tuple(ParameterRecord(name=p.name, shape=p.shape, trained=p.trained) for p in field.layout),
        symmetry=asdict(field.symmetry),
        columns=(*COLUMNS, *quality),
        rows=rows,
        rungs=tuple(rungs),
    )


def _signed(record: Record) -> bytes:
    data = record.model_dump(mode="json")
    return (json.dumps({**data, "checksum": checksum(data, type(record))}, indent=1, sort_keys=True) + "\n").encode()


def _check_version(data: Any, where: str) -> None:
    form = data.get("format") if isinstance(data, dict) else None
    if not isinstance(form, dict) or form.get("name") != FORMAT:
        raise BadNeuralDataset(f"{where} is not the manifest of a neural dataset; give its root and digest")
    if form.get("major") != MAJOR:
        raise BadNeuralDataset(
            f"{where} is of format version {form.get('major')}.{form.get('minor')}, this nefstudy reads {MAJOR}.x; "
            "install the nefstudy that wrote it, or a newer one"
        )
