"""Tests that FORMAT.md agrees with the code."""

import json
import re
from pathlib import Path

import pyarrow as pa
import pytest

import nefstudy.neural_dataset as package

from ..present import present

TEXT = (Path(package.__file__).parent / "FORMAT.md").read_text()


def test_the_format_names_every_manifest_key(desk) -> None:
    """The table of manifest keys in FORMAT.md lists exactly the keys of a manifest."""
    desk.make()
    keys = set(json.loads((desk.folder / "manifest.json").read_text()))
    table = TEXT.split("## manifest.json")[1].split("## Shards")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE)) == keys


def test_the_format_names_every_column(desk) -> None:
    """The table of shard columns in FORMAT.md lists each column with its type."""
    desk.make()
    with pa.ipc.open_file(str(desk.folder / "rung-00000003" / "shard-00000.arrow")) as file:
        schema = file.schema
    table = TEXT.split("## Shards")[1].split("## Receipts")[0]
    kinds = {"list": "fixed_size_list", "float": "float32"}
    for column in schema:
        row = next(line for line in table.splitlines() if line.startswith("|") and f"`{column.name}`" in line)
        kind = "fixed_size_list" if column.name == "parameters" else kinds.get(str(column.type), str(column.type))
        assert kind in row
    assert set(schema.metadata) == {b"format", b"digest", b"steps", b"shard"}


def test_the_example_runs(desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The code in FORMAT.md opens a neural dataset that was just written."""
    desk.make()
    desk.root.rename(desk.root.parent / "runs")
    monkeypatch.chdir(desk.root.parent)
    exec(present(re.search(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)).group(1), {})
    assert desk.digest in capsys.readouterr().out
