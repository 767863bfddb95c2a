"""A generator for the example neural datasets of FORMAT.md: `python -m tests.neural_dataset.make_examples`.

There is one valid neural dataset, and copies that each break one rule. `cases.json` lists them with the rule. A
reader in any language can be tested with them: it must reject the invalid ones, and read what `values.json`
contains from the valid one.
"""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from nefstudy.config import FieldConfig, FitConfig, NeuralDatasetConfig, SignalsConfig
from nefstudy.fields.catalog import build, complete
from nefstudy.neural_dataset.schema import Manifest, Receipt, checksum
from nefstudy.neural_dataset.write import finish_neural_dataset, write_neural_dataset
from nefstudy.signals.catalog import load_signals

EXAMPLES = Path(__file__).parents[2] / "nefstudy" / "neural_dataset" / "examples"
RECIPE = NeuralDatasetConfig(
    signals=SignalsConfig(name="digits8", subset=12),
    field=complete(FieldConfig(name="siren", params={"hidden": 2, "layers": 2})),
    init="random",
    seed=0,
)
RUNGS = (1, 3)
Change = Callable[[Path], None]


def edit(path: Path, change: Callable[[dict], None], *, sign: bool = True) -> None:
    """Change a manifest; if `sign` is set, update its checksum too."""
    data = json.loads(path.read_text())
    change(data)
    if sign:
        data["checksum"] = checksum(data, Manifest)
    path.write_text(json.dumps(data, indent=1, sort_keys=True) + "\n")


def flip(path: Path) -> None:
    """Flip one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def swap(first: Path, second: Path) -> None:
    """Swap the contents of two files."""
    one, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other)
    second.write_bytes(one)


def record_shard(folder: Path, shard: str) -> None:
    """Record a shard's current bytes in the manifest, as if the writer had written them."""
    content = (folder / shard).read_bytes()

    def change(data: dict) -> None:
        for rung in data["rungs"]:
            for record in rung["shards"]:
                if record["file"] == shard:
                    record |= {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}

    edit(folder / "manifest.json", change)


def replace_shard(folder: Path) -> None:
    """Replace a shard with the shard of another rung, and update the manifest to match."""
    shutil.copyfile(folder / "rung-00000001" / "shard-00000.arrow", folder / "rung-00000003" / "shard-00000.arrow")
    record_shard(folder, "rung-00000003/shard-00000.arrow")


def narrow_ids(folder: Path) -> None:
    """Write the ids as int32, and update the manifest to match."""
    path = folder / "rung-00000001" / "shard-00000.arrow"
    with pa.ipc.open_file(str(path)) as file:
        table = file.read_all()
    at = table.schema.get_field_index("id")
    schema = table.schema.set(at, pa.field("id", pa.int32(), nullable=False))
    with pa.ipc.new_file(str(path), schema) as out:
        out.write_table(table.cast(schema))
    record_shard(folder, "rung-00000001/shard-00000.arrow")


INVALID: dict[str, tuple[str, Change]] = {
    "newer_major_version": (
        "a reader refuses another major version",
        lambda folder: edit(folder / "manifest.json", lambda data: data["format"].update(major=2)),
    ),
    "changed_manifest": (
        "the manifest's checksum covers its keys",
        lambda folder: edit(folder / "manifest.json", lambda data: data.update(rows=13), sign=False),
    ),
    "other_recipe": (
        "the digest is that of the recipe",
        lambda folder: edit(folder / "manifest.json", lambda data: data["recipe"].update(seed=1)),
    ),
    "missing_key": (
        "a manifest has every key of version 1",
        lambda folder: edit(folder / "manifest.json", lambda data: data.pop("layout")),
    ),
    "flipped_bit": (
        "a shard has the hash that its manifest records",
        lambda folder: flip(folder / "rung-00000003" / "shard-00000.arrow"),
    ),
    "missing_shard": (
        "every recorded shard is there",
        lambda folder: (folder / "rung-00000003" / "shard-00000.arrow").unlink(),
    ),
    "shard_of_another_rung": ("a shard's metadata names its rung and number", replace_shard),
    "narrow_ids": ("columns have the types of FORMAT.md", narrow_ids),
    "unfinished": (
        "a neural dataset without a manifest is not finished",
        lambda folder: (folder / "manifest.json").unlink(),
    ),
}


def make(target: Path) -> None:
    """Write the valid example, the invalid examples and the list of cases."""
    root = target / "valid"
    config, signals = FitConfig(dataset=RECIPE, rungs=RUNGS, engine="eager"), load_signals(RECIPE.signals)
    field = build(RECIPE.field, in_dim=2, out_dim=1)
    write_neural_dataset(config, signals, str(root), field=field)
    dataset = finish_neural_dataset(config, signals, str(root), field=field)
    rung = dataset.rung(RUNGS[-1])
    values = {
        "steps": rung.steps,
        "id": int(rung.ids[0]),
        "parameters": rung.parameters[0].tolist(),
        "values": dataset.reconstruct(int(rung.ids[0]), steps=rung.steps).tolist(),
    }
    folder = root / "neural_datasets" / RECIPE.digest
    edit(folder / "manifest.json", lambda data: data.update(added_by_a_later_minor_version=True))
    cases = {"valid": {"valid": True, "rule": "keys that a reader does not know are ignored"}}
    for name, (rule, change) in INVALID.items():
        shutil.copytree(root, target / name)
        change(target / name / "neural_datasets" / RECIPE.digest)
        cases[name] = {"valid": False, "rule": rule}
    cases = {name: case | {"digest": RECIPE.digest} for name, case in cases.items()}
    (target / "values.json").write_text(json.dumps(values) + "\n")
    (target / "cases.json").write_text(json.dumps(cases, indent=1) + "\n")


def json_schemas() -> dict[str, object]:
    """Return the JSON Schemas of manifests and receipts."""
    draft = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return {"manifest": draft | Manifest.model_json_schema(), "receipt": draft | Receipt.model_json_schema()}


if __name__ == "__main__":
    shutil.rmtree(EXAMPLES, ignore_errors=True)
    EXAMPLES.mkdir()
    make(EXAMPLES)
    for kind, content in json_schemas().items():
        EXAMPLES.with_name(f"{kind}.schema.json").write_text(json.dumps(content, indent=1) + "\n")
