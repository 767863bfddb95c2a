"""Tests that the library's reader and a reader written only from FORMAT.md accept and reject the same examples."""

import hashlib
import json
from pathlib import Path

import jsonschema
import numpy as np
import pyarrow as pa
import pytest

from nefstudy.errors import BadNeuralDataset
from nefstudy.neural_dataset import open_neural_dataset

from .make_examples import EXAMPLES, json_schemas

CASES = json.loads((EXAMPLES / "cases.json").read_text())
VALUES = json.loads((EXAMPLES / "values.json").read_text())
TYPES = {
    "id": "int64",
    "view": "int32",
    "label": "int64",
    "split": "int8",
    "diverged_at": "int32",
    "stopped_at": "int32",
    "constant": "int8",
}


def canonical(value: object) -> bytes:
    """Return canonical JSON as defined in FORMAT.md."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def read(folder: Path) -> dict[int, pa.Table]:
    """Return the rungs of a neural dataset, reading it by the rules of FORMAT.md without this library.

    Raises:
        ValueError: a rule is broken.
    """
    path = folder / "manifest.json"
    if not path.is_file():
        raise ValueError("unfinished")
    manifest = json.loads(path.read_text())
    schema = json.loads((EXAMPLES.with_name("manifest.schema.json")).read_text())
    if manifest["format"]["major"] != 1:
        raise ValueError("another major version")
    if errors := list(jsonschema.Draft202012Validator(schema).iter_errors(manifest)):
        raise ValueError(errors[0].message)
    keys = set(schema["properties"]) - {"checksum"}
    if manifest["checksum"] != hashlib.sha256(canonical({k: manifest[k] for k in keys})).hexdigest():
        raise ValueError("checksum")
    if (
        hashlib.sha256(canonical(manifest["recipe"])).hexdigest()[:20] != manifest["digest"]
        or manifest["digest"] != folder.name
    ):
        raise ValueError("digest")
    return {rung["steps"]: read_rung(folder, manifest, rung) for rung in manifest["rungs"]}


def read_rung(folder: Path, manifest: dict, rung: dict) -> pa.Table:
    """Return the rows of one rung."""
    size = sum(int(np.prod(parameter["shape"])) for parameter in manifest["layout"])
    tables = []
    for number, record in enumerate(rung["shards"]):
        path = folder / record["file"]
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != record["sha256"]:
            raise ValueError(f"shard {number}")
        with pa.ipc.open_file(str(path)) as file:
            table = file.read_all()
        named = {name.decode(): value.decode() for name, value in table.schema.metadata.items()}
        if (named["digest"], named["steps"], named["shard"]) != (manifest["digest"], str(rung["steps"]), str(number)):
            raise ValueError("a shard in another's place")
        kinds = {name: TYPES.get(name, "float") for name in manifest["columns"]}
        kinds["parameters"] = f"fixed_size_list<item: float not null>[{size}]"
        if {field.name: str(field.type) for field in table.schema} != kinds:
            raise ValueError("types")
        tables.append(table)
    return pa.concat_tables(tables)


def read_by_us(root: Path, digest: str) -> None:
    """Read every rung with the library."""
    dataset = open_neural_dataset(str(root), digest)
    for steps in dataset.rungs:
        dataset.rung(steps)


@pytest.mark.parametrize("name", CASES)
def test_both_readers_agree_on_every_example(name: str) -> None:
    """Both readers read the valid example and reject every invalid one."""
    case = CASES[name]
    folder = EXAMPLES / name / "neural_datasets" / case["digest"]
    if case["valid"]:
        rungs = read(folder)
        dataset = open_neural_dataset(str(EXAMPLES / name), case["digest"])
        for steps, table in rungs.items():
            rows = np.stack(table["parameters"].to_pylist()).astype(np.float32)
            np.testing.assert_array_equal(dataset.rung(steps).parameters.numpy(), rows)
        return
    with pytest.raises(ValueError):  # noqa: PT011  # of any kind: the case's name states the rule
        read(folder)
    with pytest.raises(BadNeuralDataset):
        read_by_us(EXAMPLES / name, case["digest"])


def test_the_example_has_the_documented_values() -> None:
    """The example's parameters equal those in values.json. Its reconstruction agrees up to rounding."""
    dataset = open_neural_dataset(str(EXAMPLES / "valid"), CASES["valid"]["digest"])
    rung = dataset.rung(VALUES["steps"])
    row = rung.ids.tolist().index(VALUES["id"])
    assert rung.parameters[row].tolist() == VALUES["parameters"]
    shown = dataset.reconstruct(VALUES["id"], steps=VALUES["steps"])
    np.testing.assert_allclose(shown, VALUES["values"], atol=1e-5)


def test_the_schemas_are_those_of_the_code() -> None:
    """The committed JSON Schemas match the types that the code reads and writes."""
    for kind, schema in json_schemas().items():
        assert json.loads((EXAMPLES.with_name(f"{kind}.schema.json")).read_text()) == schema
