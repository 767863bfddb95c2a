"""A ledger set back to a backup while its driver works: the driver stops with one line, the next run completes it."""

import sqlite3

import pytest

from nefstudy.ledger import TrialState

from .conftest import NO_MLFLOW

pytestmark = [pytest.mark.fault, pytest.mark.ray, pytest.mark.slow, pytest.mark.nightly, pytest.mark.timeout(900)]


def test_a_driver_whose_ledger_was_set_back_ends_in_a_line_and_the_next_completes_it(
    start_driver, invariants, quick_plan, tmp_path
):
    """No study is called finished with trials missing; the same command makes the whole grid."""
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
    assert driver.end() == 1, driver.said()
    said = driver.said()
    assert "its ledger was replaced" in said
    assert "Traceback" not in said
    again = start_driver("--replicates", 8, **NO_MLFLOW)
    assert again.end() == 0, again.said()
    invariants().check(plan=quick_plan(replicates=8))
