"""Tests of `nefstudy signals`, which prints tables for people and JSON for scripts."""

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
    """`ls` lists every source; with --json, it also states what each source requires."""
    rows = json.loads(run("ls", "--json").stdout)
    assert {row["name"]: row["needs"] for row in rows}.items() >= {"shapes10": "", "mnist": "path"}.items()
    assert "shapes10" in run("ls").stdout


def test_show_writes_a_sheet_and_gives_the_numbers(tmp_path: Path):
    """`show` reports the size and classes of a subset and writes its contact sheet."""
    sheet = tmp_path / "sheet.png"
    found = json.loads(run("show", "digits8", "--subset", 60, "--sheet", sheet, "--no-baseline", "--json").stdout)
    assert (found["signals"], len(found["classes"]), found["sheet"]) == (60, 10, str(sheet))
    assert sheet.read_bytes().startswith(b"\x89PNG")


def test_options_reach_the_source():
    """`show` passes the options on its command line to the source."""
    assert "32 x 32 x 32" in run("show", "shapes10", "--option", "per_class=3", "--no-baseline").stdout


def test_check_says_sound_or_what_is_not(tmp_path: Path):
    """`check` prints a one-line summary of valid data and rejects invalid data with the source's error."""
    values = np.zeros((30, 4, 4), dtype=np.uint8)
    values[::2] = 200
    np.savez(tmp_path / "good.npz", values=values, labels=np.arange(30) % 3)
    assert "30 signals of 3 classes (" in run("check", tmp_path / "good.npz").stdout
    np.savez(tmp_path / "bad.npz", values=values)
    with pytest.raises(BadSignals, match=" labels"):
        run("check", tmp_path / "bad.npz")


def test_options_are_names_with_values():
    """In an option NAME=VALUE, an integer is parsed as a number, and any other value stays text.

    A name without a value is rejected.
    """
    assert parsed_options(["size=32", "path=s3://a=b"]) == {"size": 32, "path": "s3://a=b"}
    with pytest.raises(BadConfig, match="NAME=VALUE"):
        parsed_options(["size"])


def test_show_and_check_word_a_leak_in_the_same_way(tmp_path: Path):
    """`show` and `check` give the same warning if test signals are identical to a training signal."""
    np.savez(
        tmp_path / "same.npz",
        values=np.tile(np.arange(16, dtype=np.uint8).reshape(4, 4), (30, 1, 1)),
        labels=np.arange(30) % 3,
    )
    location = tmp_path / "same.npz"
    shown = run("show", "arrays", "--option", f"path={location}", "--no-baseline").stdout
    warned = run("check", location).stderr
    assert "test signals are identical to a training signal; remove them" in " ".join(shown.split())
    assert "test signals are identical to a training signal; remove them" in warned
