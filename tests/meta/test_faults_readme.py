"""Tests that the table of faults in tests/faults/README.md names existing tests."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
CELL = re.compile(r"\[`([\w/]+\.py)::(\w+)`\]\(([\w./]+)\)")


def test_every_test_of_the_table_exists() -> None:
    """Each test that the table of faults names exists, and its link leads to the test's file."""
    page = TESTS / "faults" / "README.md"
    named = CELL.findall(page.read_text())
    assert len(named) == page.read_text().count("::") > 150
    for file, test, link in named:
        assert (page.parent / link).resolve() == TESTS / file
        assert f"\ndef {test}(" in (TESTS / file).read_text(), f"{file} has no {test}"
