"""Laws of means over seeds: the interval is Student's, and only seeds are pooled."""

import math

import pytest
from scipy import stats

from nefstudy.ledger.replicates import interval, replicated, setting
from nefstudy.ledger.rows import TrialState

from .records import as_record


def test_an_interval_is_students():
    """As scipy's own t interval has it; of one value there is a mean and no interval."""
    values = [0.71, 0.74, 0.69, 0.78]
    found = interval(values)
    low, high = stats.t.interval(0.95, len(values) - 1, loc=sum(values) / 4, scale=stats.sem(values))
    assert (found.n, found.mean) == (4, pytest.approx(sum(values) / 4))
    assert found.half == pytest.approx((high - low) / 2)
    assert str(found) == f"{found.mean:.3f} ± {found.half:.3f}"
    assert (interval([0.5]).n, interval([0.5]).half, str(interval([0.5]))) == (1, None, "0.500")


def test_an_interval_covers_the_truth_nineteen_times_in_twenty():
    """Drawn from a normal distribution, 3 at a time: between 93 and 97 % of intervals hold its mean."""
    import numpy as np

    draws = np.random.default_rng(0).normal(0.7, 0.05, (2000, 3))
    held = [abs(found.mean - 0.7) <= (found.half or math.nan) for found in map(interval, draws.tolist())]
    assert 0.93 < sum(held) / len(held) < 0.97


def test_seeds_alone_are_pooled():
    """A setting is the configuration without its two seeds; what else is left out must be named."""
    config = {"steps": 5, "seed": 1, "dataset": {"seed": 1, "init": "shared"}, "classifier": {"name": "mlp"}}
    other = {"steps": 5, "seed": 2, "dataset": {"seed": 2, "init": "shared"}, "classifier": {"name": "gnn"}}
    assert setting(config) != setting(other)
    assert setting(config, without=["classifier"]) == setting(other, without=["classifier"])
    assert setting(config, without=["classifier.name"]) == setting(other, without=["classifier.name"])
    assert config["dataset"] == {"seed": 1, "init": "shared"}, "the configuration itself is left as it is"


def test_replicates_are_grouped_and_ranked(trial, ledger):
    """Three seeds of two settings, one setting of one seed: two lines, better mean first, pruned ones left out."""
    ledger.studies.put("s", {}, cells={})
    for steps, base in ((5, 0.5), (25, 0.7), (75, 0.9)):
        for seed in range(3 if steps < 75 else 1):
            end(ledger, trial(steps=steps, seed=seed), accuracy=base + 0.01 * seed)
    found = replicated(ledger.trials.page("s", limit=None).rows)
    assert [(line.example.steps, line.val.n) for line in found] == [(25, 3), (5, 3)]
    assert found[0].val.mean == pytest.approx(0.71)
    assert found[0].test.half == pytest.approx(4.30265 * 0.01 / math.sqrt(3), rel=1e-4)
    assert len(set(found[0].keys)) == 3
    assert {row.state for row in ledger.trials.page("s", limit=None).rows} == {TrialState.COMPLETE}


def end(ledger, config, *, accuracy):
    token = ledger.trials.request("s", "phase2", record=as_record(config))
    metrics = {"val_accuracy": accuracy, "test_accuracy": accuracy - 0.02, "all_psnr": 20.0}
    ledger.trials.complete("s", "phase2", key=config.key, token=token, metrics=metrics)
