"""Tests that read-only commands in unusual environments succeed or fail with a one-line error."""

import os
import subprocess
import sys

import pytest

from nefstudy.ledger import Ledger

from ..faults.driver import PROJECT
from ..ledger.records import as_cells

pytestmark = [pytest.mark.slow]
SAYS = (
    "from nefstudy.terminal import Terminal, run_command; run_command(lambda: Terminal().print('gain – %, 0.5 ± 0.1'))"
)


@pytest.fixture
def looked_at(tmp_path):
    """Return a function that runs `nefstudy ARGS` in a shell, on a root with one study."""
    with Ledger.open(str(tmp_path / "ledger.db")) as ledger:
        ledger.studies.put("digits", {}, cells=as_cells({("phase1", "digits8/siren"): 3}))

    def run(arguments, *, redirected="", unset=(), **environment):
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("NEFSTUDY_", "MLFLOW_"))} | environment
        clean = {k: v for k, v in clean.items() if k not in unset} | {"NEFSTUDY_ROOT": str(tmp_path)}
        command = f"'{sys.executable}' -m nefstudy {arguments} {redirected}"
        return subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=PROJECT,
            env=clean,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.mark.parametrize("arguments", ["status", "signals ls"])
@pytest.mark.parametrize(
    "surroundings",
    [
        *({"unset": ("HOME",)}, {"COLUMNS": "5"}, {"COLUMNS": "wide"}, {"redirected": "<&-"}, {"redirected": ">&-"}),
        *({"redirected": "2>&-"}, {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}),
        {"PYTHONIOENCODING": "ascii"},
    ],
    ids=str,
)
def test_a_command_answers_in_odd_surroundings(looked_at, arguments, surroundings):
    """Commands succeed without HOME, in tiny terminals, with closed streams and with other encodings."""
    done = looked_at(arguments, **surroundings)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("arguments", ["status", "status --json"])
def test_a_reader_who_leaves_early_hears_nothing(looked_at, arguments):
    """If the reader of a pipe exits before it reads anything, the command writes nothing to standard error."""
    assert looked_at(arguments, redirected="| true").stderr == ""


@pytest.mark.parametrize("arguments", ["status", "status --json"])
def test_an_output_on_a_full_disk_is_one_line(looked_at, arguments):
    done = looked_at(arguments, redirected="> /dev/full")
    assert done.returncode == 1
    assert (
        done.stderr
        == "error: cannot write the output (No space left on device); free space, or redirect it elsewhere\n"
    )


def test_text_that_the_terminal_lacks_is_escaped():
    """Characters that an ASCII terminal cannot show are escaped."""
    done = subprocess.run(
        [sys.executable, "-c", SAYS],
        cwd=PROJECT,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "gain \\u2013 %, 0.5 \\xb1 0.1\n"
