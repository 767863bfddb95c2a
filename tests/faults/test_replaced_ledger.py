"""Tests of restoring a ledger from a backup while a driver is running."""

import sqlite3

import pytest

from nefstudy.ledger import TrialState

from .driver import NO_MLFLOW

pytestmark = [pytest.mark.fault, pytest.mark.ray, pytest.mark.slow, pytest.mark.nightly, pytest.mark.timeout(900)]


def test_a_driver_whose_ledger_was_replaced_by_a_backup_ends_and_the_next_completes_it(
    start_driver, invariants, quick_plan, tmp_path
):
    """If the ledger is replaced by an older backup, the driver stops with a one-line error.

    A rerun runs the trials that the backup lacks.
    """
    path, backup = tmp_path / "ledger.db", tmp_path / "backup.db"
    driver = start_driver("--replicates", 8, "--concurrency", 1, **NO_MLFLOW)
    driver.wait_for(4)
    with sqlite3.connect(path) as source, sqlite3.connect(backup) as target:
        source.backup(target)
    source.close()
    target.close()
    copied = sum(row.state is TrialState.COMPLETE for row in invariants().rows())
    driver.wait_for(copied + 6)
    for part in tmp_path.glob("ledger.db*"):
        part.unlink()
    backup.replace(path)
    assert driver.end() == 1, driver.output()
    output = driver.output()
    assert "its ledger was replaced" in output
    assert "Traceback" not in output
    again = start_driver("--replicates", 8, **NO_MLFLOW)
    assert again.end() == 0, again.output()
    invariants().check(plan=quick_plan(replicates=8))
