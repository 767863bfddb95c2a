"""The file format of neural datasets as types: manifest, receipts and shard columns (described in FORMAT.md)."""

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
COLUMNS = ("id", "view", "label", "split", "parameters", "diverged_at", "stopped_at", "constant")
"""Columns of every shard; the columns of the kind's quality metrics follow them."""


class Record(BaseModel):
    """A part of the manifest or of a receipt; unknown keys are ignored."""

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
        """Hash of the shards' hashes in order, so that equal bytes give equal hashes."""
        return hashlib.sha256("".join(shard.sha256 for shard in self.shards).encode()).hexdigest()


class ParameterRecord(Record):
    """One named parameter of the flat row."""

    name: str
    shape: tuple[int, ...]
    trained: bool


class Version(Record):
    """Name and version of the format."""

    name: Literal["nefstudy-neural-dataset"]
    major: int
    minor: int


class Receipt(Record):
    """The file next to a shard: the shard's record and fingerprint, so that a killed fit can resume."""

    shard: ShardRecord
    fingerprint: dict[str, str]
    checksum: str = ""

    def to_json(self) -> bytes:
        """Return indented, sorted JSON with the checksum filled in."""
        return _signed(self)

    @classmethod
    def from_json(cls, text: bytes) -> "Receipt | None":
        """Parse a receipt from a file's bytes; return None if it is damaged."""
        try:
            data = json.loads(text)
            return cls.model_validate(data) if data["checksum"] == checksum(data, cls) else None
        except (ValueError, KeyError, TypeError):
            return None


class Manifest(Record):
    """The description of a neural dataset, written last, after every shard.

    Attributes:
        recipe: the configuration whose digest names the dataset, as plain data.
        fingerprint: how it was computed.
        layout: the parameters of the flat row, in order.
        symmetry: the field's graph and symmetry group as plain data, for readers without this library.
        rows: signals x views, equal in every rung.
        checksum: SHA-256 of the canonical JSON of the other attributes.
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
        """Return indented, sorted JSON with the checksum filled in."""
        return _signed(self)

    @classmethod
    def from_json(cls, text: bytes, *, where: str) -> "Manifest":
        """Parse and check a manifest from a file's bytes.

        Raises:
            BadNeuralDataset: not JSON, damaged, of another major version, or incomplete.
        """
        try:
            data = json.loads(text)
        except ValueError:
            raise BadNeuralDataset(f"{where} is not JSON: it is damaged; remove it and run the fit again") from None
        _check_version(data, where)
        if data.get("checksum") != checksum(data, cls):
            raise BadNeuralDataset(f"{where} does not match its checksum: it is damaged; run the fit again")
        try:
            manifest = cls.model_validate(data)
        except ValidationError as error:
            raise BadNeuralDataset(first_problem(error, where=where)) from None
        if missing := set(COLUMNS) - set(manifest.columns):
            raise BadNeuralDataset(f"{where} lacks the column {min(missing)!r}; run the fit again")
        return manifest

    @property
    def quality(self) -> tuple[str, ...]:
        """Names of the quality columns, the primary metric first."""
        return tuple(name for name in self.columns if name not in COLUMNS)

    def rung(self, steps: int) -> RungRecord:
        """Return the record of a step count.

        Raises:
            BadNeuralDataset: the dataset has no such rung.
        """
        for record in self.rungs:
            if record.steps == steps:
                return record
        have = ", ".join(str(record.steps) for record in self.rungs)
        raise BadNeuralDataset(
            f"neural dataset {self.digest}: no rung {steps}; available: {have}; fit the rung you need"
        )


def checksum(data: Mapping[str, Any], kind: type[Record]) -> str:
    """Return the SHA-256 of the canonical JSON of a record's known keys except its checksum."""
    own = {key: value for key, value in data.items() if key in kind.model_fields and key != "checksum"}
    return hashlib.sha256(canonical_json(own).encode()).hexdigest()


def shard_schema(size: int, quality: Sequence[str], *, digest: str, steps: int, index: int) -> pa.Schema:
    """Return the Arrow schema of a shard; its metadata names the shard and its dataset.

    Raises:
        BadConfig: a quality metric has the name of another column.
    """
    if taken := set(quality) & set(COLUMNS):
        raise BadConfig(f"quality metric {min(taken)!r} has the name of another column of a shard; rename it")
    row = pa.list_(pa.field("item", pa.float32(), nullable=False), size)
    types = (pa.int64(), pa.int32(), pa.int64(), pa.int8(), row, pa.int32(), pa.int32(), pa.int8())
    columns = [*zip(COLUMNS, types, strict=True), *((name, pa.float32()) for name in quality)]
    metadata = {"format": f"{FORMAT} {MAJOR}.{MINOR}", "digest": digest, "steps": str(steps), "shard": str(index)}
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in columns], metadata=metadata)


def shard_bytes(columns: Mapping[str, np.ndarray], schema: pa.Schema) -> bytes:
    """Return an Arrow IPC file of one record batch, uncompressed so that it can be memory-mapped."""
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
            f"{where} has format version {form.get('major')}.{form.get('minor')}, but this nefstudy reads {MAJOR}.x; "
            "install the nefstudy that wrote it, or a newer one"
        )
