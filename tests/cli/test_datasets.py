"""Laws of `nefstudy dataset import`: what a command line says of published files becomes a neural dataset."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from nefstudy.cli.datasets import dataset
from nefstudy.errors import BadConfig

SHAPES = [[4], [2, 4], [4], [4, 4], [1], [4, 1]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with h5py.File(tmp_path / "nefs_0-12.hdf5", "w") as file:
        file["params"] = np.random.default_rng(0).normal(size=(12, 37)).astype(np.float32)
        file["labels"] = np.arange(12) % 2
        file["param_config"] = json.dumps([[f"p{place}", shape] for place, shape in enumerate(SHAPES)])
    return tmp_path


def bring(folder: Path, **changes: str):
    said = {"name": "mine", "field": "siren,hidden=4,omega_0=30", "grid": "8,8", "steps": "7", **changes}
    words = [word for name, value in said.items() for word in (f"--{name}", value)]
    arguments = ["import", str(folder), *words, "--root", str(folder / "root"), "--json"]
    return CliRunner().invoke(dataset, arguments, catch_exceptions=False)


def test_an_imported_folder_is_listed_like_any_other(folder: Path):
    """import says the digest; ls finds it with its cell and rung."""
    found = json.loads(bring(folder, split="8,2,2").stdout)
    listed = json.loads(CliRunner().invoke(dataset, ["ls", "--root", str(folder / "root"), "--json"]).stdout)
    assert [row["dataset"] for row in listed] == [found["dataset"]]
    assert (listed[0]["cell"], listed[0]["rungs"], listed[0]["fields"]) == ("mine/siren", [7], 12)


def test_an_import_states_how_outputs_become_values(folder: Path):
    """Without constants the line names the options that give them; with them it does not."""
    words = [
        "--name",
        "mine",
        "--field",
        "siren,hidden=4",
        "--grid",
        "8,8",
        "--steps",
        "7",
        "--root",
        str(folder / "r"),
    ]
    plain = CliRunner().invoke(dataset, ["import", str(folder), *words], catch_exceptions=False).stdout
    assert "taken as values on [0, 1]; pass --mean and --std" in plain
    given = CliRunner().invoke(dataset, ["import", str(folder), *words, "--mean", "0.5", "--std", "0.2"]).stdout
    assert "as given" in given
    assert "--mean" not in given
    assert json.loads(bring(folder, mean="0.5", std="0.2").stdout)["values"] == "outputs * std + mean, as given"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"init": "warm"}, "allowed are random, shared"),
        ({"grid": "8x8"}, "grid '8x8' is not a few whole numbers"),
        ({"grid": "4,4,4"}, r"grid \(4, 4, 4\) has 3 axes, images have 2; give --kind shape, or correct the grid"),
        ({"grid": "4,4,4,4"}, "has 4 axes, images have 2; correct the grid"),
        ({"kind": "shape"}, r"grid \(8, 8\) has 2 axes, shapes have 3; give --kind image, or correct the grid"),
        ({"kind": "audio"}, "kind 'audio': allowed are image, shape; give one of them"),
        ({"split": "8,4"}, "split '8,4' is not 3 whole numbers"),
        ({"field": "siren,hidden"}, "'hidden' is not NAME=NUMBER"),
        ({"field": "sirene"}, "sirene"),
        ({"mean": "a", "std": "1"}, "mean 'a' is not numbers"),
        ({"std": "1"}, "mean and std belong together"),
        ({"first-axis": "x"}, "allowed are row, column"),
    ],
)
def test_a_slip_on_the_command_line_is_said(folder: Path, change: dict[str, str], says: str):
    """Each text that does not parse is quoted with what would."""
    with pytest.raises(BadConfig, match=says):
        bring(folder, **change)
