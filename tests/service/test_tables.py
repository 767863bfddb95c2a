"""`nefstudy status` for people shows the numbers of `--json`."""

import io

from rich.console import Console

from nefstudy.insight.status import status
from nefstudy.service.tables import status_tables


def test_the_tables_show_the_numbers(filled):
    """Counts and the best accuracy of each cell stand in the text."""
    found = status(filled[0])
    console = Console(width=120, record=True, file=io.StringIO())
    for table in status_tables(found):
        console.print(table)
    text = console.export_text()
    for best in found.studies[0].best:
        assert best.cell in text
        assert f"{best.test_accuracy:.3f}" in text
    assert "phase2" in text
