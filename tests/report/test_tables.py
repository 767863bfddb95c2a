"""Drawn tables carry the values of the table, no more: in a terminal, as Markdown, as CSV and as HTML."""

import csv
import io

import pytest
from rich.console import Console

from nefstudy.insight.declared import declarations
from nefstudy.insight.initialization import initialization
from nefstudy.insight.table import Column, Mean, Table, TrialRef
from nefstudy.insight.trials import Trials
from nefstudy.report.page import captioned, drawn_table, table
from nefstudy.report.tables import csv_bytes, markdown, terminal

from ..insight.conftest import HIDDEN, cell_plan


@pytest.fixture
def results(study: Trials) -> Table:
    """The table by initialization of the made-up study."""
    return initialization(study, declarations({"cells": [cell_plan(cell=f"mnist5k/{field}") for field in HIDDEN]}))


def test_every_rendering_carries_the_same_numbers(results: Table) -> None:
    """Terminal, Markdown and HTML show the same texts, and the terminal's fits 80 columns uncut."""
    console = Console(width=80, file=io.StringIO())
    with console.capture() as captured:
        console.print(terminal(results))
    shown = captured.get()
    _, body = results.texts()
    for line in body:
        for cell in line:
            assert cell in shown
            assert cell in markdown(results)
            assert f">{cell}<" in drawn_table(results)
    assert "…" not in shown
    assert "0.20 → 0.86" in shown


def test_csv_has_every_part_of_a_mean(results: Table) -> None:
    """Full precision, a column for n, mean, deviation and half interval of each mean, published rows too."""
    rows = list(csv.DictReader(io.StringIO(csv_bytes(results.flat()).decode())))
    for row, mean in zip(rows, results.column("shared"), strict=True):
        assert isinstance(mean, Mean)
        assert (float(row["shared.mean"]), float(row["shared.half"]), row["shared.n"]) == (mean.mean, mean.half, "18")
    assert rows[1]["paper.gain"] == "327.1"


def test_words_are_aligned_left_and_numbers_right() -> None:
    """A column of words is known by its kind, in head and body."""
    found = Table("t", "T", "", (Column("cell", "cell"), Column("steps", "steps", "count")), (("a/b", 5),))
    drawn = drawn_table(found)
    assert drawn.count('class="word"') == 2
    assert '<td class="word">a/b</td><td>5</td>' in drawn
    assert "| --- | ---: |" in markdown(found)


def test_text_is_escaped() -> None:
    """A name with markup in it is shown, not obeyed, in cells, titles and captions."""
    found = Table("t", "<i>", "<u>", (Column("k", "<b>", "trial"),), ((TrialRef("<s>", "p"),),))
    assert not any(tag in "".join(captioned(found)) for tag in ("<i>", "<u>", "<b>", "<s>"))
    assert "<b>" not in table(["<b>"], [["<b>"]])
    assert "&lt;s&gt;" in drawn_table(found)
