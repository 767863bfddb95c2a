"""Tests of the rules that end trials early."""

import pytest

from nefstudy.trial.pruning import PRUNERS, EndedCurve, asha, median, milestones


def ended(*values: float, pruned: bool = False) -> EndedCurve:
    return EndedCurve(dict(enumerate(values, start=1)), pruned=pruned)


def test_the_milestones_are_a_ninth_and_a_third():
    """The milestones are at one ninth and one third of the epochs, rounded up.

    The last epoch is never a milestone.
    """
    assert milestones(90) == (10, 30)
    assert milestones(10) == (2, 4)
    assert milestones(2) == (1,)
    assert milestones(1) == ()


def test_asha_lets_the_best_third_continue():
    """When nine trials reach a milestone, only the best three continue, and any trials that tie with one of them."""
    others = [ended(0.1 * k) for k in range(1, 9)]
    assert not asha({1: 0.85}, others)
    assert not asha({1: 0.7}, others), "third of nine"
    assert not asha({1: 0.6 + 1e-9}, others)
    assert asha({1: 0.59}, others)


def test_asha_compares_only_trials_that_reached_the_epoch():
    """A trial is compared only with trials that reached the same epoch.

    The first trial that reaches an epoch continues.
    """
    others = [ended(0.9, pruned=True) for _ in range(8)]
    assert not asha({1: 0.1, 2: 0.1}, others)
    assert asha({1: 0.1}, others)


def test_the_median_rule_needs_five_complete_trials():
    """A trial is pruned if its best value is below the median of at least five complete (not pruned) trials."""
    complete = [ended(0.0, v) for v in (0.2, 0.4, 0.6, 0.8, 0.9)]
    assert median({1: 0.0, 2: 0.59}, complete)
    assert not median({1: 0.0, 2: 0.61}, complete)
    assert not median({1: 0.7, 2: 0.1}, complete), "it was above the median before"
    assert not median({1: 0.0, 2: 0.0}, complete[1:])
    assert not median({1: 0.0, 2: 0.59}, [*complete[1:], ended(0.0, 0.9, pruned=True)])


@pytest.mark.parametrize("name", PRUNERS)
def test_no_rule_applies_at_the_last_epoch(name):
    """A trial that reaches its last epoch is complete and cannot be pruned."""
    for epochs in (1, 2, 3, 10, 50):
        assert not PRUNERS[name].is_due(epochs, epochs)
    assert any(PRUNERS[name].is_due(epoch, 50) for epoch in range(1, 51))
