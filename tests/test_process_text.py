"""Tests of a process's output: it contains no secrets, regardless of which library logs, warns or fails."""

import subprocess
import sys

import pytest

URL = "postgresql://nef:hunter2@127.0.0.1:1/nef"
WAYS = {
    "message": "logging.getLogger('urllib3').warning('retrying %s', URL)",
    "argument": "logging.getLogger('mlflow').warning('%(where)s', {'where': URL})",
    "object": "logging.getLogger('sqlalchemy').warning('engine %s', ValueError(URL))",
    "traceback": "try:\n    raise OSError(URL)\nexcept OSError:\n    logging.exception('away')",
    "stack": "logging.warning('x', stack_info=True)",
    "broken format": "logging.warning('%d', URL)",
    "own handler": "logging.basicConfig(format='%(name)s %(args)s %(message)s'); logging.warning('at %s', URL)",
    "warning": "warnings.warn(URL)",
    "thread": "thread = threading.Thread(target=open, args=(URL,)); thread.start(); thread.join()",
    "uncaught": "raise ValueError(URL)",
    "cause": "try:\n    open(URL)\nexcept OSError as error:\n    raise ValueError('x') from error",
}


def output_of(code: str, *, hide: bool) -> str:
    """Return the output of a Python process that runs `code`, with or without `hide_secrets`."""
    lines = ["import logging, threading, warnings", "from nefstudy.process_text import hide_secrets"]
    lines += ["hide_secrets()", "hide_secrets()"] if hide else []
    process = subprocess.run(
        [sys.executable, "-c", "\n".join([*lines, f"URL = {URL!r}", code])],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return process.stdout + process.stderr


@pytest.mark.parametrize("way", WAYS)
def test_a_process_prints_no_secret(way: str) -> None:
    """In logs, warnings and errors, an address appears without its password."""
    shown = output_of(WAYS[way], hide=True)
    assert "hunter2" not in shown
    assert "127.0.0.1:1" in shown or way == "stack"


def test_secrets_are_printed_without_hide_secrets() -> None:
    """Without `hide_secrets` the secret is printed, which shows that the test above would detect a leak."""
    assert "hunter2" in output_of(WAYS["message"], hide=False)
    assert "hunter2" in output_of(WAYS["uncaught"], hide=False)
