"""A small campaign of kills on each database; `python -m tests.faults.campaign --kills 60` is the large one."""

import pytest

from .campaign import run

pytestmark = [
    *(pytest.mark.fault, pytest.mark.ray, pytest.mark.mlflow, pytest.mark.slow, pytest.mark.nightly),
    pytest.mark.timeout(3600),
]


@pytest.mark.parametrize("ledger", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_a_campaign_of_kills_loses_nothing(ledger, moment, tmp_path):
    """Driver, worker, GCS, raylet, exporter and database backends die; nothing is lost, doubled or left behind, and
    the values are those of a run without a fault.
    """
    campaign, wrong = run(kills=10, ledger=ledger, seed=moment.randrange(10**6), home=tmp_path)
    assert wrong == []
    assert campaign.kills.total() == 10
