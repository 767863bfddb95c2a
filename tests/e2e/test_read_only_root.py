"""Tests that read-only commands work with a finished root on a read-only mount."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    *(pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)),
    pytest.mark.skipif(os.getuid() != 0, reason="mounting needs root"),
]
PROJECT = Path(__file__).parents[2]
READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'


@pytest.fixture
def mounted(finished_root):
    """Return the command prefix that mounts the finished root read-only."""
    within = ["unshare", "-m", "sh", "-c", READ_ONLY, str(finished_root)]
    if subprocess.run([*within, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no permission to mount here")
    return within


@pytest.fixture
def nefstudy(mounted, finished_root):
    """Return a function that runs `nefstudy ARGS --root ROOT` with the root mounted read-only."""

    def run(*arguments):
        command = [*mounted, sys.executable, "-m", "nefstudy", *map(str, arguments), "--root", str(finished_root)]
        return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)

    return run


def test_read_only_commands_work_on_a_read_only_root(nefstudy, finished_root, tmp_path):
    """The status, dataset, export and report commands succeed and create nothing under the root."""
    before = sorted(finished_root.rglob("*"))
    digest = next((finished_root / "neural_datasets").iterdir()).name
    for arguments in (
        *(
            ["status"],
            ["status", "--json"],
            ["dataset", "ls"],
            ["dataset", "show", digest],
            ["dataset", "verify", digest],
        ),
        *(["dataset", "export", digest, tmp_path / "rung.npz"], ["report", "tiny", "--out", tmp_path / "report"]),
        ["export", "optuna", "--out", tmp_path / "study.db"],
    ):
        done = nefstudy(*arguments)
        assert (done.returncode, done.stderr) == (0, ""), arguments
    assert sorted(finished_root.rglob("*")) == before


def test_commands_that_write_fail_in_one_line(nefstudy):
    """Commands that would write to the root fail with a one-line error."""
    for arguments in (["report", "tiny"], ["export", "mlflow"], ["pause", "tiny"], ["dataset", "gc", "--yes"]):
        done = nefstudy(*arguments)
        assert done.returncode in (1, 2), arguments
        assert "Traceback" not in done.stderr, arguments
        assert done.stderr.count("\n") == 1 or done.stderr.startswith("Usage"), arguments


def test_a_read_only_root_is_served(served, mounted, finished_root):
    """The service can read a ledger in a directory that it cannot write to."""
    with served(finished_root, within=mounted) as get:
        assert get("/v1/studies")["studies"][0]["study"] == "tiny"
