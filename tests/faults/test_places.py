"""Tests of a disk, root or working directory that fills up or vanishes while a driver is running."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from nefstudy.errors import NoLedger
from nefstudy.ledger import Ledger, TrialState

from ..e2e.ray_head import RAY, ray_head
from ..present import present
from .driver import NO_MLFLOW, PROJECT, SCRIPT
from .processes import wait_until

pytestmark = [pytest.mark.fault, pytest.mark.ray, pytest.mark.slow, pytest.mark.nightly, pytest.mark.timeout(900)]


def complete(rows) -> dict:
    return {(row.phase, row.key): (row.attempt, row.ended_at) for row in rows if row.state is TrialState.COMPLETE}


def errors(output: str) -> list[str]:
    """Return the error lines in a driver's output, which must not contain a traceback."""
    assert "Traceback" not in output, output
    return [line for line in output.splitlines() if line.startswith("error: ")]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a 1 MB file system."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=False).returncode:
        pytest.skip("mounting a file system needs root")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_full_disk_of_the_ledger_ends_the_driver_and_space_continues_it(
    small_disk, start_driver, invariants, quick_plan
):
    """If the ledger's disk fills up during a run, the driver exits with code 2 and a one-line error.

    If the disk is too full at the start, the study does not begin. Once there is space, rerunning the command
    completes it.
    """
    url = f"sqlite:///{small_disk}/ledger.db"
    refused = start_driver("--replicates", 2, ledger=url, **NO_MLFLOW)
    assert refused.end() == 1, refused.output()
    (output,) = errors(refused.output())
    assert f" GB are free at {small_disk}, where the ledger is, and 1 stay free (--min-free-gb)" in output
    flags = ("--replicates", 2, "--min-free-gb", 0)
    first = start_driver(*flags, ledger=url, **NO_MLFLOW)
    assert first.end() == 2, first.output()
    output = errors(first.output())[-1]
    assert f"the ledger {small_disk}/ledger.db cannot be used: database or disk is full; " in output
    assert "run the same command again" in output
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    done = complete(invariants(ledger=url).rows())
    assert 0 < len(done) < 32
    again = start_driver(*flags, ledger=url, **NO_MLFLOW)
    assert again.end() == 0, again.output()
    rows = invariants(ledger=url).check(plan=quick_plan(replicates=2))
    assert {ref: complete(rows)[ref] for ref in done} == done


def test_a_removed_root_ends_the_driver_and_once_restored_it_continues(start_driver, invariants, quick_plan, tmp_path):
    """If the root and ledger vanish during a run, the driver exits with a one-line error.

    It creates no new ledger. Once the root is restored, rerunning the command completes the study.
    """
    root, away = tmp_path / "root", tmp_path / "away"
    root.mkdir()
    first = start_driver("--replicates", 2, root=root, **NO_MLFLOW)
    first.wait_for(3)
    root.rename(away)
    code = first.end()
    output = (away / "driver.log").read_text()
    assert code == 2, output
    assert [
        f"the ledger {root}/ledger.db was removed; restore it and run the same command again" in line
        for line in errors(output)
    ] == [True], output
    assert not (root / "ledger.db").exists()
    shutil.rmtree(root, ignore_errors=True)
    away.rename(root)
    done = complete(invariants(root).rows())
    again = start_driver("--replicates", 2, root=root, **NO_MLFLOW)
    assert again.end() == 0, again.output()
    rows = invariants(root).check(plan=quick_plan(replicates=2))
    assert {ref: complete(rows)[ref] for ref in done} == done


def test_a_working_directory_that_is_removed_ends_the_driver_and_another_continues(
    start_driver, invariants, quick_plan, tmp_path
):
    """If the driver's working directory is removed, the driver exits with a one-line error.

    Rerunning the command in another directory completes the study.
    """
    folder = tmp_path / "folder"
    folder.mkdir()
    flags = ("--replicates", 2)
    first = start_driver(*flags, script=str(PROJECT / SCRIPT), cwd=folder, **NO_MLFLOW)
    first.wait_for(3)
    folder.rmdir()
    assert first.end() == 2, first.output()
    (output,) = errors(first.output())
    assert "working directory of a process on node" in output
    assert "was removed; run the same command again from one that stays" in output
    done = complete(invariants().check())
    assert 0 < len(done) < 32
    again = start_driver(*flags, **NO_MLFLOW)
    assert again.end() == 0, again.output()
    rows = invariants().check(plan=quick_plan(replicates=2))
    assert {ref: complete(rows)[ref] for ref in done} == done


def test_a_job_whose_working_directory_is_removed_fails_in_one_line_and_is_continued(
    start_driver, invariants, quick_plan, tmp_path
):
    """If a Ray job's copy of the code is removed, the job ends with a one-line error.

    No trial fails as a bug, and a driver in another directory completes the study.
    """
    log = tmp_path / "job.log"
    with ray_head() as head, log.open("w") as out:
        command = [str(RAY), "job", "submit", "--address", head.dashboard, "--working-dir", ".", "--", "python", SCRIPT]
        command += ["--study", "quick", "--root", str(tmp_path), "--replicates", "2"]
        with subprocess.Popen(command, cwd=PROJECT, env=head.environment, stdout=out, stderr=out) as job:
            try:
                wait_until(lambda: ended_trials(invariants()) >= 3, "three trials")
                with Ledger.open(f"sqlite:///{tmp_path}/ledger.db", read_only=True) as ledger:
                    shutil.rmtree(psutil.Process(present(ledger.leases.holder("quick")).owner.pid).cwd())
                assert job.wait(200) != 0
            finally:
                job.kill()
    assert len(set(errors(log.read_text()))) == 1  # `ray job submit` prints it again at the end
    done = complete(invariants().check())
    again = start_driver("--replicates", 2, **NO_MLFLOW)
    assert again.end() == 0, again.output()
    rows = invariants().check(plan=quick_plan(replicates=2))
    assert {ref: complete(rows)[ref] for ref in done} == done


def ended_trials(invariants) -> int:
    """Return the number of complete trials, or 0 if the ledger does not exist yet or has no tables yet."""
    with suppress(NoLedger):
        return len(complete(invariants.rows()))
    return 0
