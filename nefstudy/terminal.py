"""Terminal output of commands: external text is shown literally, never as markup, emoji codes or escapes."""

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
from nefstudy.process_text import hide_secrets, print_traceback

USAGE_ERROR: Any = typer.BadParameter.__mro__[2]  # click's ClickException, which typer does not export
UNWRITABLE = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EIO)


@final
class Terminal(Console):
    """A console that does not interpret markup; style comes only from arguments and `Text`."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(markup=False, emoji=False, **settings)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield segments whose text is printable."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


def say(text: str, *, err: bool = False) -> None:
    """Print text to stdout, or to stderr if `err`, with secrets removed."""
    typer.echo(without_secrets(printable(text)), err=err)


def print_error(error: Exception) -> None:
    """Print an error as one line, with secrets removed."""
    line = without_secrets(one_line(f"error: {error}"))
    Terminal(stderr=True).print(line, style="red", soft_wrap=True, highlight=False)


def run_command(command: Callable[[], int | None]) -> None:
    """Run a command line; print errors as one line, with secrets removed, and exit with their exit code.

    Args:
        command: a typer app called with `standalone_mode=False`, so that usage errors reach this function.
    """
    hide_secrets()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # characters that the encoding lacks are shown as \xb1
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _exit_code(command)
        if sys.stdout is not None:
            sys.stdout.flush()
        sys.exit(code)
    except NefstudyError as error:
        print_error(error)
        sys.exit(error.exit_code)
    except OSError as error:
        if error.errno not in UNWRITABLE or error.filename is not None:
            print_traceback(type(error), error, error.__traceback__)
            sys.exit(1)
        _discard_output()
        if error.errno != errno.EPIPE:
            print_error(BadConfig(f"cannot write the output ({error.strerror}); free space, or redirect it elsewhere"))
        sys.exit(1)
    except Exception as error:  # a bug: print the traceback, without the secrets it may quote
        print_traceback(type(error), error, error.__traceback__)
        sys.exit(1)


def _exit_code(command: Callable[[], int | None]) -> int:
    """Run a typer app and return its exit code; print usage errors with secrets removed."""
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
    """Redirect stdout to the null device; otherwise Python would retry the failed write at exit."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def command_line(*words: str) -> str:
    """Return a copyable command line, quoted for a shell; words that begin with $ stay variables."""
    return " ".join(f'"{word}"' if word.startswith("$") else shlex.quote(word) for word in words)
