"""Tests of a ledger whose server is down while a study runs."""

import signal
import time

import psycopg
import pytest

from .driver import NO_MLFLOW

pytestmark = [pytest.mark.fault, pytest.mark.ray, pytest.mark.postgres, pytest.mark.slow]


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_a_study_survives_half_a_minute_without_its_ledger(postgres, start_driver, invariants, quick_plan):
    """The driver survives 30 s without PostgreSQL.

    No trial is lost, duplicated or retried.
    """
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE faults")
    url = postgres.url("faults")
    driver = start_driver("--replicates", 2, ledger=url, **NO_MLFLOW)
    acked = {row.key for row in driver.wait_for(3) if row.state == "COMPLETE"}
    postgres.stop(signal.SIGQUIT)
    time.sleep(30)
    assert driver.process.poll() is None, driver.output()
    postgres.start()
    assert driver.end() == 0, driver.output()
    rows = invariants(ledger=url).check(plan=quick_plan(replicates=2), acked=acked)
    assert {row.attempt for row in rows} == {1}
