"""Laws of what is printed: outside text is shown, never interpreted, and commands to copy mean what they say."""

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
from nefstudy.terminal import Terminal, command_line, complain, say

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
    """Return what a terminal of colors is sent."""
    file = io.StringIO()
    terminal = Terminal(file=file, width=200, force_terminal=True, color_system=None, **settings)
    for thing in things:
        terminal.print(thing)
    return file.getvalue()


def table_of(text: str) -> Table:
    """Return a table with the text wherever a table holds one."""
    table = Table(title=text, caption=text)
    table.add_column(text, footer=text)
    table.add_row(text)
    table.add_row(Text(text))
    return table


@pytest.mark.parametrize("text", ["[/b]", "[red]x[/red]", "[link=http://x]y[/link]", ":smile:"])
def test_markup_and_emoji_codes_are_only_text(text: str) -> None:
    """They come out as they went in, from a line, a title, a cell and a rule."""
    said = printed(text, table_of(text))
    assert said.count(text) == 6


@settings(max_examples=EXAMPLES, deadline=None)
@given(TEXTS)
def test_no_text_reaches_the_terminal_as_a_control_sequence(text: str) -> None:
    """Whatever a table, a group or a line holds, no control characters but line breaks are sent."""
    said = printed(text, table_of(text), Group(text, Text(text)))
    said.encode()
    assert not {character for character in said if unicodedata.category(character) == "Cc"} - set("\n\t")
    assert "\u202e" not in said


@settings(max_examples=EXAMPLES, deadline=None)
@given(TEXTS)
def test_an_error_is_one_line(text: str) -> None:
    """An error's line breaks are shown, and it cannot move the cursor."""
    assert len(one_line(text).splitlines()) <= 1
    assert not set(one_line(text)) & set("\x1b\n\r\u2028")


def test_errors_and_lines_are_printable(capsys: pytest.CaptureFixture[str]) -> None:
    """What a command says on either stream has no escapes, and an error hides secrets."""
    say("a\x1b[31mb")
    complain(ValueError("[/b] \x1b[2J\nat postgresql://u:hunter2@h/d"))
    out, err = capsys.readouterr()
    assert out == "ab\n"
    assert err == "error: [/b] \\nat postgresql://***@h/d\n"


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters="\0"), max_size=20).filter(lambda word: word[:1] != "$")))
def test_a_command_to_copy_is_read_back_by_a_shell(words: list[str]) -> None:
    """Splitting the line as a shell does gives the words."""
    assert shlex.split(command_line(*words)) == words


def test_a_variable_stays_a_variable() -> None:
    """A secret is named by its variable, which the shell expands to one word."""
    assert command_line("nefstudy", "--ledger", "$NEFSTUDY_LEDGER") == 'nefstudy --ledger "$NEFSTUDY_LEDGER"'
