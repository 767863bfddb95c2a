"""Tests that the parts of the study page refer to existing figures, tables and sections."""

import re
from pathlib import Path

from nefstudy.insight.catalog import FIGURES, TABLES

SOURCE = (Path(__file__).parents[2] / "dashboards/page/sections.js").read_text()
ENTRIES = re.findall(r"\{ id: \"([^\"]+)\", path: \"([^\"]+)\"(?:, sections: \[([^\]]+)\])?", SOURCE)
FIGURES_AND_TABLES = {*(f"figures/{name}" for name in FIGURES), *(f"tables/{name}" for name in TABLES)}


def test_every_part_asks_for_what_the_catalog_has() -> None:
    """Every part of the page requests a path that exists in the catalog of figures and tables.

    With a misspelled path, the part would stay empty.
    """
    assert len(ENTRIES) == SOURCE.count('path: "') > 10
    assert {path for _, path, _ in ENTRIES} <= {*FIGURES_AND_TABLES, "reconstructions"}


def test_every_part_has_its_own_id() -> None:
    """No two parts have the same id; otherwise one part would be drawn over another."""
    ids = [each for each, _, _ in ENTRIES]
    assert len(set(ids)) == len(ids)


def test_every_section_that_a_part_applies_to_can_be_declared() -> None:
    """Every section named by a part is an existing figure or table, so a task can declare it."""
    named = {name for _, _, names in ENTRIES for name in re.findall(r"\"([^\"]+)\"", names)}
    assert named
    assert named <= {*FIGURES, *TABLES}
