"""Laws of the rules that end trials early."""

import pytest

from nefstudy.trial.pruning import PRUNERS, Ended, asha, median, rungs


def ended(*values: float, pruned: bool = False) -> Ended:
    return Ended(dict(enumerate(values, start=1)), pruned=pruned)


def test_the_rungs_are_a_ninth_and_a_third():
    """In whole epochs, rounded up, never the last one."""
    assert rungs(90) == (10, 30)
    assert rungs(10) == (2, 4)
    assert rungs(2) == (1,)
    assert rungs(1) == ()


def test_asha_lets_the_best_third_go_on():
    """Of nine at a rung three go on: better than the third goes on, equal goes on, worse does not."""
    others = [ended(0.1 * k) for k in range(1, 9)]
    assert not asha({1: 0.85}, others)
    assert not asha({1: 0.7}, others), "third of nine"
    assert not asha({1: 0.6 + 1e-9}, others)
    assert asha({1: 0.59}, others)


def test_asha_counts_only_who_came_so_far():
    """Trials that were pruned before an epoch have no say at it; the first there goes on."""
    others = [ended(0.9, pruned=True) for _ in range(8)]
    assert not asha({1: 0.1, 2: 0.1}, others)
    assert asha({1: 0.1}, others)


def test_the_median_is_of_complete_trials_and_waits_for_five():
    """The best so far counts, pruned trials do not, and four trials are no majority."""
    complete = [ended(0.0, v) for v in (0.2, 0.4, 0.6, 0.8, 0.9)]
    assert median({1: 0.0, 2: 0.59}, complete)
    assert not median({1: 0.0, 2: 0.61}, complete)
    assert not median({1: 0.7, 2: 0.1}, complete), "it was above the median before"
    assert not median({1: 0.0, 2: 0.0}, complete[1:])
    assert not median({1: 0.0, 2: 0.59}, [*complete[1:], ended(0.0, 0.9, pruned=True)])


@pytest.mark.parametrize("name", PRUNERS)
def test_no_rule_is_asked_at_the_last_epoch(name):
    """A trial at its end is complete, not pruned."""
    for epochs in (1, 2, 3, 10, 50):
        assert not PRUNERS[name].asks(epochs, epochs)
    assert any(PRUNERS[name].asks(epoch, 50) for epoch in range(1, 51))
