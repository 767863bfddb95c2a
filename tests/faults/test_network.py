"""A study whose driver reaches its ledger and MLflow over a network that is late, cuts connections, or falls silent."""

import time
from urllib.parse import urlsplit

import psycopg
import pytest

from nefstudy.ledger import Ledger
from nefstudy.tracking import drain
from nefstudy.trial.log import read_log

from ..tracking.conftest import empty_store, root, server  # noqa: F401  # fixtures
from .network import Network
from .processes import ATTEMPT

pytestmark = [
    *(pytest.mark.fault, pytest.mark.ray, pytest.mark.postgres, pytest.mark.mlflow, pytest.mark.slow),
    *(pytest.mark.nightly, pytest.mark.timeout(900)),
]

SILENCE_S = 25.0


def late(driver, networks, moment) -> None:
    """Each piece of data a fiftieth of a second late, to the end."""
    for network in networks:
        network.delay_s = 0.02


def cut(driver, networks, moment) -> None:
    """Late, and every connection reset every second or so, to the end."""
    while driver.process.poll() is None:
        for network in networks:
            network.delay_s = 0.02
            network.cut()
        time.sleep(moment.uniform(0.3, 1.5))


def silent(driver, networks, moment) -> None:
    """Half a minute in which nothing arrives, either way."""
    ledger, mlflow = networks
    with ledger.silence(), mlflow.silence():
        time.sleep(SILENCE_S)
        assert driver.process.poll() is None, driver.said()


@pytest.mark.parametrize("trouble", [late, cut, silent], ids=lambda trouble: trouble.__name__)
def test_a_study_goes_on_over_a_bad_network(
    trouble,
    *,
    postgres,
    server,  # noqa: F811
    start_driver,
    invariants,
    quick_plan,
    moment,
    tmp_path,
):
    """The driver ends with 0; no trial is lost, doubled or run twice, and MLflow has one run each.

    An attempt that was asked for when the connection was cut may be asked for again, under the next token.
    """
    name = f"network_{trouble.__name__}"
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    mlflow = server()
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
        assert driver.end() == 0, driver.said()
        assert "Traceback" not in driver.said()
        assert to_ledger.carried > 1
        assert to_mlflow.carried > 1
    direct = postgres.url(name)
    with Ledger.open(direct) as ledger:
        assert drain(ledger, root=str(tmp_path), tracking_uri=mlflow) == 0
        assert ledger.trials.retries("quick") == {}
    rows = invariants(ledger=direct).check(plan=quick_plan(replicates=2), acked=acked, mlflow=True)
    begun = [[found[1] for line in read_log(str(tmp_path), row.key) if (found := ATTEMPT.search(line))] for row in rows]
    assert begun == [[str(row.attempt)] for row in rows]
