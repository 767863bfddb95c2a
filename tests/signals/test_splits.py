"""Tests of splits and subsets."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nefstudy.signals.signal import SPLITS
from nefstudy.signals.splits import carve_validation, stratified_order, stratified_split, without_test

sizes_of_classes = st.lists(st.integers(3, 60), min_size=2, max_size=6)


def _labels(sizes: list[int], seed: int = 0) -> np.ndarray:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return np.random.default_rng(seed).permutation(labels)


@settings(max_examples=30, deadline=None)
@given(sizes_of_classes, st.integers(0, 5))
def test_a_split_gives_every_class_to_every_part(sizes: list[int], seed: int):
    """Every class has signals in train, val and test, in shares that are exact to within one signal."""
    labels = _labels(sizes)
    split = stratified_split(labels, seed=seed)
    for label, size in enumerate(sizes):
        counts = np.bincount(split[labels == label], minlength=3)
        assert counts.min() >= 1
        assert abs(counts[2] - 0.2 * size) <= 1
        assert abs(counts[1] - 0.08 * size) <= 1


def test_a_split_depends_on_its_seed():
    """The same seed gives the same split; a different seed gives a different split."""
    labels = _labels([50, 50])
    np.testing.assert_array_equal(stratified_split(labels, seed=3), stratified_split(labels, seed=3))
    assert (stratified_split(labels, seed=3) != stratified_split(labels, seed=4)).any()


def test_a_new_class_moves_no_signal_of_the_others():
    """Adding a class leaves the split of the other classes unchanged."""
    labels = _labels([30, 40])
    more = np.concatenate([labels, np.full(25, 2)])
    np.testing.assert_array_equal(stratified_split(more, seed=1)[:70], stratified_split(labels, seed=1))


@settings(max_examples=30, deadline=None)
@given(sizes_of_classes, st.data())
def test_every_prefix_of_the_order_is_stratified(sizes: list[int], data: st.DataObject):
    """In any prefix of the stratified order, the share of each class and split is exact to within about one signal.

    This holds as soon as the prefix has a signal of every class in every split.
    """
    labels = _labels(sizes)
    split = stratified_split(labels, seed=0)
    order = stratified_order(labels, split, seed=5)
    assert sorted(order) == list(range(len(labels)))
    count = data.draw(st.integers(3 * len(sizes), len(labels)))
    strata = labels * 3 + split
    whole = np.bincount(strata, minlength=3 * len(sizes))
    part = np.bincount(strata[order[:count]], minlength=3 * len(sizes))
    assert part.min() >= 1
    share = (count - len(whole)) / len(labels)
    assert (part >= np.floor(share * whole)).all()
    assert (part <= np.ceil(count / len(labels) * whole) + 1).all()


def test_a_tenth_of_balanced_classes_is_exactly_a_tenth_of_each():
    """A subset of a tenth of the signals contains a tenth of every class in every split."""
    labels = _labels([500] * 10)
    split = stratified_split(labels, seed=1)
    chosen = stratified_order(labels, split, seed=1)[:500]
    counts = np.bincount(labels[chosen] * 3 + split[chosen])
    np.testing.assert_array_equal(counts.reshape(10, 3), [[36, 4, 10]] * 10)


def test_the_order_begins_with_a_training_signal_of_each_class():
    """The stratified order begins with one training signal of each class.

    Then validation and test signals alternate.
    """
    labels = _labels([20, 30, 40])
    split = stratified_split(labels, seed=1)
    first = stratified_order(labels, split, seed=1)[:9]
    assert sorted(labels[first[:3]]) == [0, 1, 2]
    assert split[first].tolist() == [0, 0, 0, 1, 2, 1, 2, 1, 2]


def test_the_order_depends_on_the_seed():
    """A different seed gives a different stratified order of the signals."""
    labels = _labels([20, 30, 40])
    split = stratified_split(labels, seed=1)
    assert (stratified_order(labels, split, seed=1) != stratified_order(labels, split, seed=2)).any()


def test_a_subset_is_drawn_within_each_class_and_split():
    """Within a class and split, the signals of a subset are drawn at random instead of being the first ones."""
    labels = np.zeros(200, dtype=np.int64)
    split = np.zeros(200, dtype=np.int8)
    one, two = (set(stratified_order(labels, split, seed=seed)[:50]) for seed in (1, 2))
    assert len(one & set(range(50))) < 30
    assert len(one & two) < 30


@pytest.mark.parametrize("count", [7, 20])
def test_carving_validation_moves_only_training_signals(count: int):
    """Exactly `count` training signals are moved to the validation split, some from every class.

    No test signal is moved.
    """
    labels = _labels([40, 60])
    split = np.where(np.arange(100) < 30, SPLITS["test"], SPLITS["train"]).astype(np.int8)
    carved = carve_validation(labels, split, count=count, seed=1)
    moved = carved != split
    assert moved.sum() == count
    assert (split[moved] == SPLITS["train"]).all()
    assert (carved[moved] == SPLITS["val"]).all()
    assert set(labels[moved]) == {0, 1}


@settings(max_examples=50, deadline=None)
@given(sizes_of_classes, st.integers(0, 5))
def test_without_test_signals_training_keeps_its_share_of_each_class(sizes: list[int], seed: int):
    """Exactly the test signals are left out, and of what remains of a class, training has the share that it had.

    Validation signals stay validation signals, and every class keeps signals in both parts.
    """
    labels = _labels(sizes)
    split = stratified_split(labels, seed=seed)
    rows, after = without_test(labels, split, seed=seed)
    np.testing.assert_array_equal(rows, np.flatnonzero(split != SPLITS["test"]))
    assert set(after) == {SPLITS["train"], SPLITS["val"]}
    assert (after[split[rows] == SPLITS["val"]] == SPLITS["val"]).all()
    for label, size in enumerate(sizes):
        share = np.mean(split[labels == label] == SPLITS["train"])
        of_class = after[labels[rows] == label]
        assert 1 <= np.sum(of_class == SPLITS["train"]) < len(of_class) < size
        assert abs(np.sum(of_class == SPLITS["train"]) - share * len(of_class)) <= 0.5


def test_without_test_signals_digits_validate_on_more_than_a_quarter():
    """Of 5,000 digits, 3600 / 400 / 1000, the search has 2880 / 1120: 28 % of its signals instead of 8."""
    labels = _labels([500] * 10)
    rows, after = without_test(labels, stratified_split(labels, seed=1), seed=1)
    counts = np.bincount(labels[rows] * 2 + after).reshape(10, 2)
    np.testing.assert_array_equal(counts, [[288, 112]] * 10)


def test_the_signals_that_move_to_validation_depend_on_the_seed_and_on_their_class_alone():
    """The same seed moves the same signals, another seed moves others, and another class changes nothing."""
    labels = _labels([50, 60])
    split = stratified_split(labels, seed=1)
    rows, after = without_test(labels, split, seed=3)
    np.testing.assert_array_equal(without_test(labels, split, seed=3)[1], after)
    assert (without_test(labels, split, seed=4)[1] != after).any()
    more = np.concatenate([labels, np.full(25, 2)])
    _, with_more = without_test(more, np.concatenate([split, stratified_split(more[110:], seed=1)]), seed=3)
    np.testing.assert_array_equal(with_more[: len(rows)], after)


def test_signals_without_labels_or_without_test_signals_can_be_resplit():
    """Without labels all signals count as one class; without test signals nothing is left out and nothing moves."""
    split = np.repeat(np.array([0, 1, 2], dtype=np.int8), [72, 8, 20])
    rows, after = without_test(None, split, seed=1)
    assert (len(rows), np.sum(after == SPLITS["train"])) == (80, round(0.72 * 80))
    again, unchanged = without_test(None, split[:80], seed=1)
    np.testing.assert_array_equal(again, np.arange(80))
    np.testing.assert_array_equal(unchanged, split[:80])
