"""Tests of a study whose connections to the ledger and MLflow are slow, interrupted or unresponsive."""

import time
from urllib.parse import urlsplit

import psycopg
import pytest

from nefstudy.ledger import Ledger
from nefstudy.tracking.export import drain
from nefstudy.trial.log import read_log

from .network import Network
from .processes import ATTEMPT

pytestmark = [
    *(pytest.mark.fault, pytest.mark.ray, pytest.mark.postgres, pytest.mark.mlflow, pytest.mark.slow),
    *(pytest.mark.nightly, pytest.mark.timeout(900)),
]

SILENCE_S = 25.0


def late(driver, networks, moment) -> None:
    """Delay all network data by 20 ms until the driver ends."""
    for network in networks:
        network.delay_s = 0.02


def cut(driver, networks, moment) -> None:
    """Delay all network data, and reset every connection about once a second, until the driver ends."""
    while driver.process.poll() is None:
        for network in networks:
            network.delay_s = 0.02
            network.cut()
        time.sleep(moment.uniform(0.3, 1.5))


def silent(driver, networks, moment) -> None:
    """Drop all data in both directions for 25 seconds."""
    ledger, mlflow = networks
    with ledger.silence(), mlflow.silence():
        time.sleep(SILENCE_S)
        assert driver.process.poll() is None, driver.output()


@pytest.mark.parametrize("trouble", [late, cut, silent], ids=lambda trouble: trouble.__name__)
def test_a_study_completes_over_a_bad_network(
    trouble,
    *,
    postgres,
    mlflow_server,
    start_driver,
    invariants,
    quick_plan,
    moment,
    tmp_path,
):
    """A study completes over a bad network, and no trial is lost, duplicated or run twice.

    MLflow has one run per trial. An attempt that was requested while the connection was cut may be requested again
    with the next token.
    """
    name = f"network_{trouble.__name__}"
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    mlflow = mlflow_server()
    target = urlsplit(mlflow)
    with (
        Network(str(postgres.home / ".s.PGSQL.5432")) as to_ledger,
        Network((target.hostname, target.port)) as to_mlflow,
    ):
        url = f"postgresql://postgres@127.0.0.1:{to_ledger.port}/{name}"
        through = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{to_mlflow.port}"}
        driver = start_driver("--replicates", 2, ledger=url, **through)
        acked = {row.key for row in driver.wait_for(3) if row.state == "COMPLETE"}
        trouble(driver, (to_ledger, to_mlflow), moment)
        assert driver.end() == 0, driver.output()
        assert "Traceback" not in driver.output()
        assert to_ledger.carried > 1
        assert to_mlflow.carried > 1
    direct = postgres.url(name)
    with Ledger.open(direct) as ledger:
        assert drain(ledger, root=str(tmp_path), tracking_uri=mlflow) == 0
        assert ledger.trials.retries("quick") == {}
    rows = invariants(ledger=direct).check(plan=quick_plan(replicates=2), acked=acked, mlflow=True)
    attempts = [
        [match[1] for line in read_log(str(tmp_path), row.key) if (match := ATTEMPT.search(line))] for row in rows
    ]
    assert attempts == [[str(row.attempt)] for row in rows]
