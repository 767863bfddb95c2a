"""Tests that the tables of `nefstudy status` show the same numbers as `--json`."""

import io

from rich.console import Console

from nefstudy.insight.status import status
from nefstudy.service.status_table import status_tables


def test_the_tables_show_the_numbers(filled):
    """The tables show the phase in progress and the best accuracy of each cell."""
    current = status(filled[0])
    console = Console(width=120, record=True, file=io.StringIO())
    for table in status_tables(current):
        console.print(table)
    text = console.export_text()
    for best in current.studies[0].best:
        assert best.cell in text
        assert f"{best.test_accuracy:.3f}" in text
    assert "phase2" in text
