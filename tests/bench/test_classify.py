"""Tests of the classifier benchmark: it measures every classifier, and both the dense and the sparse path of `gnn`."""

import io
import json

import pytest
from rich.console import Console
from typer.testing import CliRunner

from nefstudy.bench.classify import ClassifyRow, Workload, cases, classify_json, classify_table, measure, workload
from nefstudy.classifiers.catalog import CLASSIFIERS
from nefstudy.cli.main import cli
from nefstudy.errors import BadConfig

TINY = workload("siren", hidden=6, batch=3, seconds=0.0)


def test_every_classifier_is_measured_and_both_paths_of_gnn() -> None:
    """The benchmark measures every classifier in the catalog, and both the dense and the sparse path of `gnn`."""
    assert {name for name, _ in cases()} == set(CLASSIFIERS)
    assert [path for name, path in cases() if name == "gnn"] == ["dense", "pyg"]
    assert cases(["mlp"]) == [("mlp", "dense")]
    assert cases(["gnn-published"]) == [("gnn-published", "dense"), ("gnn-published", "pyg")]


def test_an_unknown_classifier_is_refused_before_anything_runs() -> None:
    """An unknown classifier name is rejected with an error that lists the allowed names."""
    with pytest.raises(BadConfig, match=r"'gnn-sing'.*: mlp, gnn, "):
        cases(["gnn-sing"])


def test_a_measurement_counts_the_readers_own_parameters() -> None:
    """A classifier has the same number of parameters in every measurement, and more if the fields are wider.

    The speed is positive and finite.
    """
    row = measure(TINY, "gnn-sign", "dense")
    wider = measure(Workload(workload("siren", hidden=12).field, 3, 0.0), "mlp", "dense")
    assert row.parameters == measure(TINY, "gnn-sign", "dense").parameters > 1000
    assert wider.parameters > measure(TINY, "mlp", "dense").parameters
    assert 0 < row.fields_per_s < float("inf")
    assert row.peak_mb >= 0


@pytest.mark.slow
def test_the_command_prints_the_promised_shape() -> None:
    """`nefstudy bench classify --json` prints a list of rows with the documented keys."""
    call = ["bench", "classify", "--json", "--classifier", "gnn", "--hidden", "6", "--batch", "2", "--seconds", "0"]
    answer = CliRunner().invoke(cli, call)
    assert answer.exit_code == 0, answer.output
    rows = json.loads(answer.stdout)
    assert [row["path"] for row in rows] == ["dense", "pyg"]
    assert all(set(row) >= {"classifier", "path", "parameters", "fields_per_s", "peak_mb"} for row in rows)
    assert rows[0]["parameters"] == rows[1]["parameters"]


def test_the_table_sets_every_row_beside_the_studys_gnn() -> None:
    """The ratio column compares the speed of each row with that of the torch-geometric row.

    Without that row, the column shows a dash.
    """
    rows = [ClassifyRow("gnn-sign", "dense", 10, 800.0, 1.0), ClassifyRow("gnn", "pyg", 20, 100.0, 2.0)]
    assert classify_json(rows)[0]["fields_per_s"] == 800.0
    for shown, ratio in ((rows, "8.0"), (rows[:1], "-")):
        console = Console(width=120, record=True, file=io.StringIO())
        console.print(classify_table(shown, TINY))
        lines = [line for line in console.export_text().splitlines() if line.split()[:1] == ["gnn-sign"]]
        assert ratio in lines[0].split()
