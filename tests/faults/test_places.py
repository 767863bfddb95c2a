"""Places that fill up or vanish under a driver: a disk, a root, a working directory."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from nefstudy.ledger import Ledger, TrialState

from ..e2e.ray_head import RAY, ray_head
from .conftest import NO_MLFLOW, PROJECT, SCRIPT
from .processes import wait_until

pytestmark = [pytest.mark.fault, pytest.mark.ray, pytest.mark.slow, pytest.mark.nightly, pytest.mark.timeout(900)]


def complete(rows) -> dict:
    return {(row.phase, row.key): (row.attempt, row.ended_at) for row in rows if row.state is TrialState.COMPLETE}


def errors(said: str) -> list[str]:
    """The lines by which a driver says why it ended; no traceback may be among what it says."""
    assert "Traceback" not in said, said
    return [line for line in said.splitlines() if line.startswith("error: ")]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of next to no size."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], check=False).returncode:
        pytest.skip("a file system of its own needs root")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_full_disk_of_the_ledger_ends_the_driver_and_space_continues_it(
    small_disk, start_driver, invariants, quick_plan
):
    """Too little space there stops a study before it begins; full in the middle, it ends the driver with 2 in one line;
    with space the same command does the rest.
    """
    url = f"sqlite:///{small_disk}/ledger.db"
    refused = start_driver("--replicates", 2, ledger=url, **NO_MLFLOW)
    assert refused.end() == 1, refused.said()
    (said,) = errors(refused.said())
    assert f" GB are free at {small_disk}, where the ledger is, and 1 stay free (--min-free-gb)" in said
    asked = ("--replicates", 2, "--min-free-gb", 0)
    first = start_driver(*asked, ledger=url, **NO_MLFLOW)
    assert first.end() == 2, first.said()
    said = errors(first.said())[-1]
    assert f"the ledger {small_disk}/ledger.db cannot be used: database or disk is full; mend that and run" in said
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    done = complete(invariants(ledger=url).rows())
    assert 0 < len(done) < 32
    again = start_driver(*asked, ledger=url, **NO_MLFLOW)
    assert again.end() == 0, again.said()
    rows = invariants(ledger=url).check(plan=quick_plan(replicates=2))
    assert {place: complete(rows)[place] for place in done} == done


def test_a_root_that_is_taken_away_ends_the_driver_and_back_it_continues(
    start_driver, invariants, quick_plan, tmp_path
):
    """Root and ledger moved away in the middle: exit 2 in one line, no ledger in their place; back again, the rest."""
    root, away = tmp_path / "root", tmp_path / "away"
    root.mkdir()
    first = start_driver("--replicates", 2, root=root, **NO_MLFLOW)
    first.wait_for(3)
    root.rename(away)
    code = first.end()
    said = (away / "driver.log").read_text()
    assert code == 2, said
    assert [
        f"the ledger {root}/ledger.db was removed; put it back and run the same command again" in line
        for line in errors(said)
    ] == [True], said
    assert not (root / "ledger.db").exists()
    shutil.rmtree(root, ignore_errors=True)
    away.rename(root)
    done = complete(invariants(root).rows())
    again = start_driver("--replicates", 2, root=root, **NO_MLFLOW)
    assert again.end() == 0, again.said()
    rows = invariants(root).check(plan=quick_plan(replicates=2))
    assert {place: complete(rows)[place] for place in done} == done


def test_a_working_directory_that_is_removed_ends_the_driver_and_another_continues(
    start_driver, invariants, quick_plan, tmp_path
):
    """Exit 2 in one line; the same command from another directory does the rest, and no trial twice."""
    folder = tmp_path / "folder"
    folder.mkdir()
    asked = ("--replicates", 2)
    first = start_driver(*asked, script=str(PROJECT / SCRIPT), cwd=folder, **NO_MLFLOW)
    first.wait_for(3)
    folder.rmdir()
    assert first.end() == 2, first.said()
    (said,) = errors(first.said())
    assert "working directory of a process on node" in said
    assert "was removed; run the same command again from one that stays" in said
    done = complete(invariants().check())
    assert 0 < len(done) < 32
    again = start_driver(*asked, **NO_MLFLOW)
    assert again.end() == 0, again.said()
    rows = invariants().check(plan=quick_plan(replicates=2))
    assert {place: complete(rows)[place] for place in done} == done


def test_a_job_whose_working_directory_is_removed_says_so_and_is_continued(
    start_driver, invariants, quick_plan, tmp_path
):
    """A Ray job loses its copy of the code: it fails with one line, no trial fails for a bug; a driver elsewhere
    continues.
    """
    log = tmp_path / "job.log"
    with ray_head() as head, log.open("w") as out:
        command = [str(RAY), "job", "submit", "--address", head.dashboard, "--working-dir", ".", "--", "python", SCRIPT]
        command += ["--study", "quick", "--root", str(tmp_path), "--replicates", "2"]
        job = subprocess.Popen(command, cwd=PROJECT, env=head.environment, stdout=out, stderr=out)
        wait_until(lambda: ended_trials(invariants()) >= 3, "three trials")
        with Ledger.open(f"sqlite:///{tmp_path}/ledger.db", read_only=True) as ledger:
            shutil.rmtree(psutil.Process(ledger.leases.holder("quick").owner.pid).cwd())
        assert job.wait(200) != 0
    assert len(set(errors(log.read_text()))) == 1  # `ray job submit` says it again at the end
    done = complete(invariants().check())
    again = start_driver("--replicates", 2, **NO_MLFLOW)
    assert again.end() == 0, again.said()
    rows = invariants().check(plan=quick_plan(replicates=2))
    assert {place: complete(rows)[place] for place in done} == done


def ended_trials(invariants) -> int:
    """How many trials have ended, 0 before there is a ledger."""
    return len(complete(invariants.rows())) if (invariants.root / "ledger.db").exists() else 0
