"""Tests that terminal, Markdown, CSV and HTML output show exactly the table's values."""

import csv
import io

import pytest
from rich.console import Console

from nefstudy.insight.declared import declarations
from nefstudy.insight.questions.initialization import initialization
from nefstudy.insight.table import Column, Mean, Table, TrialRef
from nefstudy.insight.trials import TrialColumns
from nefstudy.report.page import captioned_table, html_table, table
from nefstudy.report.tables import csv_bytes, markdown, terminal

from ..insight.synthetic_study import HIDDEN, cell_plan


@pytest.fixture
def results(study: TrialColumns) -> Table:
    """Return the initialization table of the synthetic study."""
    return initialization(study, declarations({"cells": [cell_plan(cell=f"mnist5k/{field}") for field in HIDDEN]}))


def test_every_rendering_has_the_same_numbers(results: Table) -> None:
    """Terminal, Markdown and HTML show the same text for each entry of the table.

    The terminal table fits 80 columns without truncation.
    """
    console = Console(width=80, file=io.StringIO())
    with console.capture() as captured:
        console.print(terminal(results))
    shown = captured.get()
    _, body = results.texts()
    for line in body:
        for cell in line:
            assert cell in shown
            assert cell in markdown(results)
            assert f">{cell}<" in html_table(results)
    assert "…" not in shown
    assert "0.20 → 0.86" in shown


def test_csv_has_every_part_of_a_mean(results: Table) -> None:
    """The CSV file contains the mean, half-width and n of each entry in full precision.

    Published rows are included.
    """
    rows = list(csv.DictReader(io.StringIO(csv_bytes(results.flat()).decode())))
    for row, mean in zip(rows, results.column("shared"), strict=True):
        assert isinstance(mean, Mean)
        assert (float(row["shared.mean"]), float(row["shared.half"]), row["shared.n"]) == (mean.mean, mean.half, "18")
    assert rows[1]["paper.gain"] == "327.1"


def test_words_are_aligned_left_and_numbers_right() -> None:
    """Text columns are left-aligned and number columns are not, in both the head and the body."""
    value = Table("t", "T", "", (Column("cell", "cell"), Column("steps", "steps", "count")), (("a/b", 5),))
    html = html_table(value)
    assert html.count('class="word"') == 2
    assert '<td class="word">a/b</td><td>5</td>' in html
    assert "| --- | ---: |" in markdown(value)


def test_text_is_escaped() -> None:
    """Markup in cells, titles and captions is shown as text."""
    value = Table("t", "<i>", "<u>", (Column("k", "<b>", "trial"),), ((TrialRef("<s>", "p"),),))
    assert not any(tag in "".join(captioned_table(value)) for tag in ("<i>", "<u>", "<b>", "<s>"))
    assert "<b>" not in table(["<b>"], [["<b>"]])
    assert "&lt;s&gt;" in html_table(value)
