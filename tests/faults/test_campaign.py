"""A test that runs a small kill campaign against a study, once for each kind of database.

`python -m tests.faults.campaign --kills 60` runs the large campaign.
"""

import pytest

from .campaign import run

pytestmark = [
    *(pytest.mark.fault, pytest.mark.ray, pytest.mark.mlflow, pytest.mark.slow, pytest.mark.nightly),
    pytest.mark.timeout(3600),
]


@pytest.mark.parametrize("ledger", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_a_campaign_of_kills_loses_nothing(ledger, moment, tmp_path):
    """Killing ten random processes of a study loses nothing and duplicates nothing.

    No temporary files are left behind, and the values equal those of a fault-free run.
    """
    campaign, wrong = run(kills=10, ledger=ledger, seed=moment.randrange(10**6), home=tmp_path)
    assert wrong == []
    assert campaign.kills.total() == 10
