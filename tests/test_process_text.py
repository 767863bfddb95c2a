"""Laws of what a process prints by itself: no secrets, whichever library logs, warns or fails."""

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


def said(code: str, *, hide: bool) -> str:
    lines = ["import logging, threading, warnings", "from nefstudy.process_text import hide_secrets"]
    lines += ["hide_secrets()", "hide_secrets()"] if hide else []
    done = subprocess.run(
        [sys.executable, "-c", "\n".join([*lines, f"URL = {URL!r}", code])],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("way", WAYS)
def test_a_process_prints_no_secret(way: str) -> None:
    """Each way a text gets out by itself prints the address without its password; without the door most do not."""
    shown = said(WAYS[way], hide=True)
    assert "hunter2" not in shown
    assert "127.0.0.1:1" in shown or way == "stack"


def test_secrets_are_printed_without_the_door() -> None:
    """The test above would see a secret: nothing else hides it."""
    assert "hunter2" in said(WAYS["message"], hide=False)
    assert "hunter2" in said(WAYS["uncaught"], hide=False)
