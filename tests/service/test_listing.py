"""Tests that JSON spliced from stored text equals the JSON that the response model writes."""

import json
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nefstudy.insight.questions.failures import presentable
from nefstudy.ledger.sql.fetch import dump
from nefstudy.service.listing import SUMMARY, json_of, values_of
from nefstudy.service.models import Trial
from nefstudy.service.responses import finite
from nefstudy.tasks.parameters import parameters

from .small_study import CELLS, trial_config

NUMBERS = st.floats() | st.integers(-(2**53), 2**53)
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)


def stored(**changes):
    """Return a trial's columns as the ledger stores them, some of them as JSON text."""
    trial = trial_config(CELLS[0])
    row = dict.fromkeys(SUMMARY) | {"study": "s", "phase": "phase1", "key": trial.key, "cell": CELLS[0]}
    row |= {"task": "classification", "state": "RUNNING", "attempt": 1, "seed": 0, "reused": False}
    row |= {"dataset": trial.dataset.digest, "metrics": "{}"}
    config = trial.model_dump(mode="json")
    texts = {"config": dump(config), "parameters": dump(parameters(config)), "needs": "[]", "fingerprint": "{}"}
    return row | texts | changes


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.dictionaries(NAMES, NUMBERS, max_size=4),
    st.none() | NAMES,
    st.none() | st.floats(),
    st.booleans(),
)
def test_a_spliced_trial_is_the_models_own_json(metrics, error, score, reused):
    """A trial's spliced JSON equals the documented model's JSON for any numbers, names and errors."""
    row = stored(metrics=dump(metrics), error=error, score=score, reused=reused)
    spliced = json.loads(json_of(row, SUMMARY))
    plain = row | {"metrics": metrics, "parameters": json.loads(row["parameters"])}
    model = Trial.model_validate(finite(plain | {"error": presentable(error)}))
    assert spliced == json.loads(model.model_dump_json())
    assert list(spliced) == list(SUMMARY)


@pytest.mark.parametrize("name", [*SUMMARY, "config", "all_psnr", "metrics.all_psnr", "omega_0", "nothing"])
def test_text_and_value_agree(name):
    """A column or metric of a trial has the same value in spliced JSON as in Python.

    NaN and infinities are null.
    """
    for psnr in (20.5, math.nan, -math.inf):
        row = stored(metrics=dump({"all_psnr": psnr, "signals": 50.0}), requested_at=1.5, score=psnr)
        assert json.loads(json_of(row, [name])) == finite(values_of(row, [name]))


def test_a_metric_named_like_a_parameter_has_a_prefix():
    """If a metric and a parameter share a name, the name without a prefix refers to the parameter.

    The metric is called `metrics.NAME`.
    """
    row = stored(metrics=dump({"signals": 50.0}))
    assert values_of(row, ["signals", "metrics.signals"]) == {"signals": "digits8", "metrics.signals": 50.0}
