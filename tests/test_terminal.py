"""Tests of terminal output: external text is never interpreted, and commands can be copied into a shell."""

import io
import os
import shlex
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Group
from rich.table import Table
from rich.text import Text

from nefstudy.outside_text import one_line
from nefstudy.terminal import Terminal, command_line, print_error, say

EXAMPLES = int(os.environ.get("NEFSTUDY_EXAMPLES", "200"))
HOSTILE = (
    "[/b]",
    "[red]x[/red]",
    "[link=http://x]y",
    ":smile:",
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "a\x9b31m",
    "\u202ex",
)
TEXTS = st.sampled_from(HOSTILE) | st.text(st.characters(exclude_categories=()), max_size=40)


def printed(*things: object, **settings: object) -> str:
    """Return the characters that a color terminal would receive."""
    file = io.StringIO()
    terminal = Terminal(file=file, width=200, force_terminal=True, color_system=None, **settings)
    for thing in things:
        terminal.print(thing)
    return file.getvalue()


def table_of(text: str) -> Table:
    """Return a table with `text` in every place where a table shows text."""
    table = Table(title=text, caption=text)
    table.add_column(text, footer=text)
    table.add_row(text)
    table.add_row(Text(text))
    return table


@pytest.mark.parametrize("text", ["[/b]", "[red]x[/red]", "[link=http://x]y[/link]", ":smile:"])
def test_markup_and_emoji_codes_are_only_text(text: str) -> None:
    """Markup is printed literally in a line, a title, a caption, a header and cells."""
    output = printed(text, table_of(text))
    assert output.count(text) == 6


@settings(max_examples=EXAMPLES, deadline=None)
@given(TEXTS)
def test_no_text_reaches_the_terminal_as_a_control_sequence(text: str) -> None:
    """Tables, groups and lines contain no control characters except line breaks and tabs."""
    output = printed(text, table_of(text), Group(text, Text(text)))
    output.encode()
    assert not {character for character in output if unicodedata.category(character) == "Cc"} - set("\n\t")
    assert "\u202e" not in output


@settings(max_examples=EXAMPLES, deadline=None)
@given(TEXTS)
def test_an_error_is_one_line(text: str) -> None:
    """Line breaks and cursor movements in an error are escaped."""
    assert len(one_line(text).splitlines()) <= 1
    assert not set(one_line(text)) & set("\x1b\n\r\u2028")


def test_errors_and_lines_are_printable(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither output stream receives escape sequences, and errors hide secrets."""
    say("a\x1b[31mb")
    print_error(ValueError("[/b] \x1b[2J\nat postgresql://u:hunter2@h/d"))
    out, err = capsys.readouterr()
    assert out == "ab\n"
    assert err == "error: [/b] \\nat postgresql://***@h/d\n"


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters="\0"), max_size=20).filter(lambda word: word[:1] != "$")))
def test_a_command_to_copy_is_read_back_by_a_shell(words: list[str]) -> None:
    """A shell splits the printed command line into the original words."""
    assert shlex.split(command_line(*words)) == words


def test_a_variable_stays_a_variable() -> None:
    """A word that begins with $ is double-quoted, so that the shell expands it to a single word."""
    assert command_line("nefstudy", "--ledger", "$NEFSTUDY_LEDGER") == 'nefstudy --ledger "$NEFSTUDY_LEDGER"'
