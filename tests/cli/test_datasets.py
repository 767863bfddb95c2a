"""Tests of `nefstudy dataset import`, which turns published files into a neural dataset."""

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
    """`dataset ls` lists an imported neural dataset with its digest, cell and rung."""
    found = json.loads(bring(folder, split="8,2,2").stdout)
    listed = json.loads(CliRunner().invoke(dataset, ["ls", "--root", str(folder / "root"), "--json"]).stdout)
    assert [row["dataset"] for row in listed] == [found["dataset"]]
    assert (listed[0]["cell"], listed[0]["rungs"], listed[0]["fields"]) == ("mine/siren", [7], 12)


def test_an_import_states_how_outputs_become_values(folder: Path):
    """An import suggests --mean and --std in its output, unless they were given."""
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
    ("change", "message"),
    [
        ({"init": "warm"}, "allowed are random, shared"),
        ({"grid": "8x8"}, "grid '8x8' must be some integers separated by commas"),
        ({"grid": "4,4,4"}, r"\(4, 4, 4\).* 3 .* 2.*--kind shape"),
        ({"grid": "4,4,4,4"}, "4 axes.* 2"),
        ({"kind": "shape"}, r"\(8, 8\).* 2 .* 3.*--kind image"),
        ({"kind": "audio"}, "'audio'.*image, shape"),
        ({"split": "8,4"}, "'8,4'.*3 integers"),
        ({"field": "siren,hidden"}, "'hidden'.*NAME=NUMBER"),
        ({"field": "sirene"}, "sirene"),
        ({"mean": "a", "std": "1"}, "mean 'a'"),
        ({"std": "1"}, "mean and std"),
        ({"first-axis": "x"}, "row, column"),
    ],
)
def test_a_bad_option_is_refused(folder: Path, change: dict[str, str], message: str):
    """If an option is invalid, the error shows its value and what is allowed."""
    with pytest.raises(BadConfig, match=message):
        bring(folder, **change)
