"""What a command prints: text from outside is shown as it is, never as markup, emoji codes or terminal escapes."""

import shlex
from collections.abc import Iterable
from typing import Any, final

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from nefstudy.outside_text import one_line, printable, without_secrets


@final
class Terminal(Console):
    """A console that interprets nothing in a text; style comes from arguments and `Text` alone."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(markup=False, emoji=False, **settings)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield segments whose text is printable."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


def say(text: str, *, err: bool = False) -> None:
    """Print a text of one line or more, to stderr with `err`."""
    typer.echo(printable(text), err=err)


def complain(error: Exception) -> None:
    """Print an error as one line, without secrets."""
    line = without_secrets(one_line(f"error: {error}"))
    Terminal(stderr=True).print(line, style="red", soft_wrap=True, highlight=False)


def command_line(*words: str) -> str:
    """Return a command to copy, its words quoted for a shell; a word that begins with $ names a variable."""
    return " ".join(f'"{word}"' if word.startswith("$") else shlex.quote(word) for word in words)
