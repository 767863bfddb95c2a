"""Implementation of the `nefstudy dataset` commands: lists, cards, verification, export, meshes and import."""

from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group
from rich.table import Table

from nefstudy.config import FieldConfig, parse
from nefstudy.errors import BadConfig
from nefstudy.neural_dataset.export import export_rung as write_rung
from nefstudy.neural_dataset.hdf5 import import_hdf5
from nefstudy.neural_dataset.mesh import write_mesh
from nefstudy.neural_dataset.origin import Origin
from nefstudy.neural_dataset.read import NeuralDataset, list_neural_datasets, open_neural_dataset
from nefstudy.neural_dataset.schema import Manifest
from nefstudy.scalars import Scalar

Row = dict[str, Any]


def dataset_rows(root: str) -> list[Row]:
    """Return one row of plain data per neural dataset under the root."""
    return [_row(manifest) for manifest in list_neural_datasets(root)]


def _row(manifest: Manifest) -> Row:
    recipe = manifest.recipe
    return {
        "dataset": manifest.digest,
        "cell": f"{recipe['signals']['name']}/{recipe['field']['name']}",
        "init": recipe["init"]["name"],
        "field": recipe["field"]["params"],
        "optimizer": recipe["optimizer"],
        "rungs": [record.steps for record in manifest.rungs],
        "fields": manifest.rows,
        "bytes": sum(shard.bytes for record in manifest.rungs for shard in record.shards),
    }


def dataset_table(rows: list[Row]) -> Table:
    """Format the rows as a table for a terminal."""
    table = Table(box=None, title=None if rows else "there are no neural datasets under this root yet")
    for name in ("dataset", "cell", "init", "hidden", "rungs", "fields", "MB"):
        table.add_column(name, justify="right" if name in ("hidden", "fields", "MB") else "left")
    for row in rows:
        rungs = " ".join(map(str, row["rungs"]))
        hidden = str(row["field"].get("hidden", ""))
        size = f"{row['bytes'] / 1e6:.1f}"
        table.add_row(row["dataset"], row["cell"], row["init"], hidden, rungs, str(row["fields"]), size)
    return table


def resolve_digest(root: str, prefix: str) -> str:
    """Return the full digest of the neural dataset under the root whose digest starts with `prefix`.

    Raises:
        BadConfig: no digest starts with `prefix`, or several digests do.
    """
    matches = [manifest.digest for manifest in list_neural_datasets(root) if manifest.digest.startswith(prefix)]
    if len(matches) != 1:
        count = f"{len(matches)} digests start with it ({', '.join(matches[:3])})" if matches else "no such digest"
        raise BadConfig(f"neural dataset {prefix!r}: {count}; `nefstudy dataset ls` lists them")
    return matches[0]


def dataset_summary(root: str, prefix: str) -> Row:
    """Return the manifest's description of one neural dataset, and the mean quality of each rung."""
    dataset = open_neural_dataset(root, resolve_digest(root, prefix), verify=False)
    manifest = dataset.manifest
    return {
        **_row(manifest),
        "parameters": sum(parameter.size for parameter in dataset.field.layout),
        "signals": manifest.recipe["signals"],
        "fingerprint": dict(manifest.fingerprint),
        "quality": [_quality(dataset, steps) for steps in dataset.rungs],
    }


def _quality(dataset: NeuralDataset, steps: int) -> Row:
    columns = dataset.quality(steps)
    alive = columns["diverged_at"] < 0
    means = {name: float(np.mean(columns[name][alive])) if alive.any() else None for name in dataset.manifest.quality}
    constant = int((columns["constant"] == 1).sum())
    return {"steps": steps, "diverged": int((~alive).sum()), "constant": constant, **means}


def dataset_card(card: Row) -> Group:
    """Format the summary as a card for a terminal."""
    head = Table.grid(padding=(0, 2))
    for name in ("dataset", "cell", "init", "field", "optimizer", "signals", "fields", "parameters", "fingerprint"):
        value = card[name]
        text = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)
        head.add_row(name, text)
    rungs = Table(box=None)
    for name in card["quality"][0] if card["quality"] else ():
        rungs.add_column(name, justify="right")
    for rung in card["quality"]:
        rungs.add_row(*(f"{value:.3f}" if isinstance(value, float) else str(value) for value in rung.values()))
    return Group(head, "", rungs)


def verify_dataset(root: str, digest: str) -> Row:
    """Check every shard's hash.

    Raises:
        BadNeuralDataset: names the first file that is missing or damaged.
    """
    dataset = open_neural_dataset(root, digest)
    dataset.verify()
    return {"dataset": digest, "shards": sum(len(record.shards) for record in dataset.manifest.rungs), "verified": True}


def export_rung(root: str, digest: str, path: Path, *, steps: int | None) -> Row:
    """Write one rung, by default the longest rung, to a single file."""
    dataset = open_neural_dataset(root, digest)
    chosen = dataset.rungs[-1] if steps is None else steps
    write_rung(dataset, chosen, path)
    return {"dataset": digest, "steps": chosen, "fields": dataset.manifest.rows, "file": str(path)}


def mesh_signal(root: str, digest: str, path: Path, *, signal: int, steps: int | None, resolution: int) -> Row:
    """Write the surface of one shape at a rung, by default the longest rung."""
    dataset = open_neural_dataset(root, digest)
    chosen = dataset.rungs[-1] if steps is None else steps
    written = write_mesh(dataset, path, signal=signal, steps=chosen, resolution=resolution)
    return {"dataset": digest, "steps": chosen, "signal": signal, **written, "file": str(path)}


def import_folder(folder: Path, root: str, *, options: Row, split: str | None) -> Row:
    """Import a folder of HDF5 files as described by the command-line options.

    Raises:
        BadConfig: a field, grid, init or split that cannot be parsed.
    """
    if options["init"] not in ("random", "shared"):
        raise BadConfig(f"init {options['init']!r}: allowed are random, shared; give one of them")
    if options["first_axis"] not in ("row", "column"):
        raise BadConfig(f"first axis {options['first_axis']!r}: allowed are row, column; give one of them")
    train, val, test = (0, 0, 0) if split is None else _whole_numbers(split, what="split", count=3)
    grid = _whole_numbers(options["grid"], what="grid", count=None)
    constants = {n: None if options[n] is None else _numbers(options[n], what=n) for n in ("mean", "std")}
    facts = {**options, **constants, "grid": grid, "field": _field(options["field"])}
    origin = Origin(**facts, counts=None if split is None else (train, val, test))
    return {**_row(import_hdf5(folder, root, origin=origin).manifest), "values": origin.values}


def _whole_numbers(text: str, *, what: str, count: int | None) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.strip().isdigit() for part in parts) or (count is not None and len(parts) != count):
        raise BadConfig(f"{what} {text!r} must be {count or 'some'} integers separated by commas; correct it")
    return tuple(int(part) for part in parts)


def _numbers(text: str, *, what: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise BadConfig(f"{what} {text!r} must be numbers separated by commas, such as 0.49,0.48,0.45") from None


def _field(text: str) -> FieldConfig:
    name, *pairs = text.split(",")
    params: dict[str, Scalar] = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        try:
            params[key] = int(value) if value.isdigit() else float(value)
        except ValueError:
            raise BadConfig(f"field {text!r}: {pair!r} must be NAME=NUMBER, such as hidden=32; correct it") from None
    return parse(FieldConfig, {"name": name, "params": params}, where="field")
