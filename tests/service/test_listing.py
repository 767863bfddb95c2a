"""What is spliced from stored texts is what the model would write."""

import json
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nefstudy.insight.failures import presentable
from nefstudy.ledger.texts import dump
from nefstudy.service.answers import finite
from nefstudy.service.listing import SUMMARY, described, json_of
from nefstudy.service.models import Trial
from nefstudy.tasks.parameters import parameters

from .conftest import CELLS, trial_config

NUMBERS = st.floats() | st.integers(-(2**53), 2**53)
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)


def stored(**changed):
    """A trial's columns and texts as the ledger holds them."""
    trial = trial_config(CELLS[0])
    row = dict.fromkeys(SUMMARY) | {"study": "s", "phase": "phase1", "key": trial.key, "cell": CELLS[0]}
    row |= {"task": "classification", "state": "RUNNING", "attempt": 1, "seed": 0, "reused": False}
    row |= {"dataset": trial.dataset.digest, "metrics": "{}"}
    config = trial.model_dump(mode="json")
    texts = {"config": dump(config), "parameters": dump(parameters(config)), "needs": "[]", "fingerprint": "{}"}
    return row | texts | changed


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.dictionaries(NAMES, NUMBERS, max_size=4),
    st.none() | NAMES,
    st.none() | st.floats(),
    st.booleans(),
)
def test_a_spliced_trial_is_the_models_own_json(metrics, error, score, reused):
    """Whatever numbers, names and errors a trial holds, its JSON is what the documented model writes of it."""
    row = stored(metrics=dump(metrics), error=error, score=score, reused=reused)
    spliced = json.loads(json_of(row, SUMMARY))
    plain = row | {"metrics": metrics, "parameters": json.loads(row["parameters"])}
    model = Trial.model_validate(finite(plain | {"error": presentable(error)}))
    assert spliced == json.loads(model.model_dump_json())
    assert list(spliced) == list(SUMMARY)


@pytest.mark.parametrize("name", [*SUMMARY, "config", "all_psnr", "metrics.all_psnr", "omega_0", "nothing"])
def test_text_and_value_agree(name):
    """Each name alone gives the same as JSON and as a value, a number that JSON cannot hold as null."""
    for psnr in (20.5, math.nan, -math.inf):
        row = stored(metrics=dump({"all_psnr": psnr, "signals": 50.0}), requested_at=1.5, score=psnr)
        assert json.loads(json_of(row, [name])) == finite(described(row, [name]))


def test_a_metric_named_after_a_parameter_is_told_apart():
    """The bare name is the parameter; its prefix reaches the metric."""
    row = stored(metrics=dump({"signals": 50.0}))
    assert described(row, ["signals", "metrics.signals"]) == {"signals": "digits8", "metrics.signals": 50.0}
