"""Laws of `nefstudy signals`: tables for people, plain data for scripts, one line for errors."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from nefstudy.cli.signals import parsed_options, signals
from nefstudy.errors import BadConfig, BadSignals


def run(*words: object) -> Result:
    return CliRunner().invoke(signals, [str(word) for word in words], catch_exceptions=False)


def test_ls_names_every_source_as_plain_data():
    """--json gives a list of names with what each needs; the table names them too."""
    rows = json.loads(run("ls", "--json").stdout)
    assert {row["name"]: row["needs"] for row in rows}.items() >= {"shapes10": "", "mnist": "path"}.items()
    assert "shapes10" in run("ls").stdout


def test_show_writes_a_sheet_and_gives_the_numbers(tmp_path: Path):
    """Size, classes and a contact sheet of a subset, without a baseline."""
    sheet = tmp_path / "sheet.png"
    found = json.loads(run("show", "digits8", "--subset", 60, "--sheet", sheet, "--no-baseline", "--json").stdout)
    assert (found["signals"], len(found["classes"]), found["sheet"]) == (60, 10, str(sheet))
    assert sheet.read_bytes().startswith(b"\x89PNG")


def test_options_reach_the_source():
    """--option per_class=3 makes thirty solids; the card for people says so."""
    assert "32 x 32 x 32" in run("show", "shapes10", "--option", "per_class=3", "--no-baseline").stdout


def test_check_says_sound_or_what_is_not(tmp_path: Path):
    """Sound data gives a line and exit 0; unsound data the reader's own words."""
    values = np.zeros((30, 4, 4), dtype=np.uint8)
    values[::2] = 200
    np.savez(tmp_path / "good.npz", values=values, labels=np.arange(30) % 3)
    assert "30 signals of 3 classes (" in run("check", tmp_path / "good.npz").stdout
    np.savez(tmp_path / "bad.npz", values=values)
    with pytest.raises(BadSignals, match="lacks labels"):
        run("check", tmp_path / "bad.npz")


def test_options_are_names_with_values():
    """Whole numbers become numbers, other values stay text, and a bare name is refused."""
    assert parsed_options(["size=32", "path=s3://a=b"]) == {"size": 32, "path": "s3://a=b"}
    with pytest.raises(BadConfig, match="is not NAME=VALUE"):
        parsed_options(["size"])
