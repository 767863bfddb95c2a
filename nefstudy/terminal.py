"""What a command prints: text from outside is shown as it is, never as markup, emoji codes or terminal escapes."""

import errno
import io
import os
import shlex
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, final

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from nefstudy.errors import BadConfig, NefstudyError
from nefstudy.outside_text import one_line, printable, without_secrets
from nefstudy.process_text import hide_secrets, print_error

USAGE_ERROR: Any = typer.BadParameter.__mro__[2]  # click's ClickException, which typer does not export
UNWRITABLE = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EIO)


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
    """Print a text of one line or more, without secrets, to stderr with `err`."""
    typer.echo(without_secrets(printable(text)), err=err)


def complain(error: Exception) -> None:
    """Print an error as one line, without secrets."""
    line = without_secrets(one_line(f"error: {error}"))
    Terminal(stderr=True).print(line, style="red", soft_wrap=True, highlight=False)


def run_command(command: Callable[[], int | None]) -> None:
    """Run a command line; an error becomes one line and its exit code, and nothing printed holds a secret.

    Args:
        command: a typer app called with `standalone_mode=False`, so that usage errors reach this function.
    """
    hide_secrets()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal of another encoding shows \xb1 for what it lacks
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _exit_code(command)
        if sys.stdout is not None:
            sys.stdout.flush()
        sys.exit(code)
    except NefstudyError as error:
        complain(error)
        sys.exit(error.exit_code)
    except OSError as error:
        if error.errno not in UNWRITABLE or error.filename is not None:
            print_error(type(error), error, error.__traceback__)
            sys.exit(1)
        _discard_output()
        if error.errno != errno.EPIPE:
            complain(BadConfig(f"the output cannot be written ({error.strerror}); free space, or send it elsewhere"))
        sys.exit(1)
    except Exception as error:  # a fault of ours: its traceback is for us, but not what it quotes
        print_error(type(error), error, error.__traceback__)
        sys.exit(1)


def _exit_code(command: Callable[[], int | None]) -> int:
    """Run a typer app and return its exit code; a usage error is printed without the secrets that it may quote."""
    try:
        return command() or 0
    except USAGE_ERROR as error:
        shown = io.StringIO()
        error.show(file=shown)
        say(shown.getvalue().rstrip(), err=True)
        return int(error.exit_code)
    except typer.Abort:
        return 1


def _discard_output() -> None:
    """Let what stdout still holds go nowhere, or Python would try to write it once more when it ends."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def command_line(*words: str) -> str:
    """Return a command to copy, its words quoted for a shell; a word that begins with $ names a variable."""
    return " ".join(f'"{word}"' if word.startswith("$") else shlex.quote(word) for word in words)
