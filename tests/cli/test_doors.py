"""Tests that, given any root, ledger or study, commands succeed or report a one-line input error."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from nefstudy.cli.main import cli
from nefstudy.errors import NefstudyError
from nefstudy.ledger import Ledger
from nefstudy.outside_text import one_line

EXAMPLES = int(os.environ.get("NEFSTUDY_EXAMPLES", "200"))
COMMANDS = ("status", "report STUDY", "report STUDY s", "pause STUDY", "logs STUDY", "dataset ls", "dataset show STUDY",
            "dataset gc --dry-run", "dataset gc --study STUDY", "export optuna --out OUT")  # fmt: skip
WORDS = st.text(
    st.sampled_from("as../%#?;[]~: \\\n\x1bü\udcff\u202e") | st.characters(exclude_characters="\0"), max_size=300
)
ODD = (
    "",
    ".",
    "..",
    "../../x",
    "~unknown-user/x",
    "x" * 300,
    "a/" * 200,
    "s3://b c",
    "file:x",
    "[/b]",
    "\udcff",
    "\x1b[2J",
)


def outcome(command: str, *, word: str, folder: Path, option: str) -> None:
    """Run a command with `word` as argument or option; check that it succeeds or raises a one-line error."""
    arguments = [{"STUDY": word, "OUT": str(folder / "out.db")}.get(part, part) for part in command.split()]
    if any(part.startswith("-") for part in (word,)):
        return  # the parser handles options
    given = {"root": ["--root", word], "ledger": ["--root", str(folder), "--ledger", word], "": ["--root", str(folder)]}
    if option == "ledger" and command == "dataset ls":
        return
    result = CliRunner().invoke(cli, [*arguments, *given[option]])
    error = result.exception
    if isinstance(error, NefstudyError):
        assert error.exit_code == 2, error
        assert len(one_line(str(error)).splitlines()) == 1
    else:
        assert error is None or isinstance(error, SystemExit), repr(error)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a root whose ledger has one study."""
    folder = tmp_path_factory.mktemp("place") / "root"
    with Ledger.open(str(folder / "ledger.db")) as ledger:
        ledger.studies.put("s", {}, cells={})
    return folder


@pytest.mark.parametrize("option", ["root", "ledger", ""])
@pytest.mark.parametrize("command", COMMANDS)
def test_odd_words_end_in_an_answer(place: Path, monkeypatch: pytest.MonkeyPatch, command: str, option: str) -> None:
    """Arguments that look like paths, URLs, markup or escape sequences create no file next to the root."""
    monkeypatch.chdir(place.parent)
    for word in ODD:
        outcome(command, word=word, folder=place, option=option)
    assert [path.name for path in place.parent.iterdir()] == ["root"]


@pytest.mark.slow
@settings(max_examples=EXAMPLES, deadline=None)
@given(WORDS, st.sampled_from(COMMANDS), st.sampled_from(["root", "ledger", ""]))
def test_any_word_ends_in_an_answer(place: Path, word: str, command: str, option: str) -> None:
    """Any argument makes a command succeed or raise a one-line input error, never an unexpected exception."""
    outcome(command, word=word, folder=place, option=option)
