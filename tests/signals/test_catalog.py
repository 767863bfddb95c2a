"""Tests of the catalog, which returns a full set of signals or a stratified subset."""

from collections import Counter
from typing import Any

import numpy as np
import pytest

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadConfig, BadSignals
from nefstudy.signals.catalog import SIGNALS, load_signals, pin
from nefstudy.signals.image_set import image_set
from nefstudy.signals.kinds import IMAGE
from nefstudy.signals.signal import SPLITS, Signals
from nefstudy.signals.signal_set import signal_set

from ..present import present

DIGITS = SignalsConfig(name="digits8")


def tiny(config: SignalsConfig) -> Signals:
    """Return ninety random 4x4 images of three classes; the option `pixel` sets one value."""
    values = np.random.default_rng(7).integers(0, 256, (90, 4, 4, 1), dtype=np.uint8)
    values[0, 0, 0, 0] = int(config.options.get("pixel", 0))
    return image_set(
        values, np.arange(90) % 3, config=config, class_names=("a", "b", "c"), license="none", source="drawn"
    )


def test_mnist5k_is_split_3600_400_1000():
    """mnist5k has 5,000 digits, split 3600 / 400 / 1000 with equal numbers in every class.

    Their values are scaled to [0, 1].
    """
    signals = load_signals(SignalsConfig(name="mnist5k"))
    assert (signals.card.grid, signals.card.channels, len(signals)) == ((28, 28), 1, 5000)
    for code, per_class in {0: 360, 1: 40, 2: 100}.items():
        assert (np.bincount(present(signals.labels)[signals.split == code]) == per_class).all()
    values = signals.originals(np.arange(5000))
    assert (values.min(), values.max(), values.dtype) == (0, 1, np.dtype(np.float32))


@pytest.mark.slow
def test_digits8_holds_every_level_of_scikit_learn():
    """digits8 contains scikit-learn's 1,797 digits (8 x 8 pixels), with pixel values divided by 16.

    Their ids are the row numbers in scikit-learn's set.
    """
    from sklearn.datasets import load_digits

    signals = load_signals(DIGITS)
    assert signals.values.shape == (1797, 8, 8, 1)
    digits = load_digits()
    np.testing.assert_array_equal(signals.values[..., 0] * 16, digits.images[signals.ids])
    np.testing.assert_array_equal(signals.labels, digits.target[signals.ids])


def test_targets_of_the_training_split_are_standardized():
    """Targets of all training signals have mean 0 and standard deviation 1."""
    signals = load_signals(DIGITS)
    targets = signals.targets(np.flatnonzero(signals.split == SPLITS["train"]))
    assert abs(targets.mean()) < 1e-5
    assert abs(targets.std() - 1) < 1e-4


def test_a_subset_is_reproducible_and_contains_smaller_ones():
    """A subset does not depend on previously loaded subsets, and it contains every smaller subset."""
    before = load_signals(SignalsConfig(name="digits8", subset=300))
    small = load_signals(SignalsConfig(name="digits8", subset=100))
    again = load_signals(SignalsConfig(name="digits8", subset=300))
    np.testing.assert_array_equal(before.ids, again.ids)
    np.testing.assert_array_equal(before.values, again.values)
    assert set(small.ids) < set(again.ids)


def test_another_split_seed_draws_another_split_and_subset():
    """A different split seed draws a different split and subset, which changes the content hash.

    The class counts of each split stay the same.
    """
    splits = [_split_by_id(SignalsConfig(name="digits8", split_seed=seed)) for seed in (1, 1, 2)]
    assert splits[0] == splits[1]
    assert splits[0].keys() == splits[2].keys()
    moved = sum(splits[0][id_] != splits[2][id_] for id_ in splits[0])
    assert 0.2 * len(splits[0]) < moved < 0.7 * len(splits[0]), "two independent draws differ in 43.5 %"
    assert Counter(splits[0].values()) == Counter(splits[2].values())
    one, two = (load_signals(SignalsConfig(name="digits8", subset=300, split_seed=seed)) for seed in (1, 2))
    assert set(one.ids) != set(two.ids)
    assert one.card.content_hash != two.card.content_hash


def _split_by_id(config: SignalsConfig) -> dict[int, tuple[int, int]]:
    """Return the label and split code of every signal, keyed by id."""
    signals = load_signals(config)
    rows = zip(present(signals.labels).tolist(), present(signals.split).tolist(), strict=True)
    return dict(zip(signals.ids.tolist(), rows, strict=True))


def test_the_card_does_not_depend_on_the_subset():
    """The standardization constants and content hash of a subset are those of the full set."""
    assert load_signals(SignalsConfig(name="digits8", subset=100)).card == load_signals(DIGITS).card


def test_pinning_fills_in_the_content_and_is_idempotent():
    """Pinning adds the content hash to a configuration, and pinning it again changes nothing.

    A pinned configuration can be loaded.
    """
    pinned = pin(SignalsConfig(name="digits8", subset=60))
    assert pinned.content == load_signals(DIGITS).card.content_hash
    assert pin(pinned) == pinned
    assert len(load_signals(pinned)) == 60


def test_a_changed_pixel_changes_the_content_and_is_refused_under_the_old_pin():
    """If one pixel changes by one level, loading the signals with the old content hash raises an error."""
    sources = SIGNALS | {"tiny": tiny}
    old = pin(SignalsConfig(name="tiny"), sources=sources)
    changed = SignalsConfig(name="tiny", options={"pixel": 1})
    assert pin(changed, sources=sources).content != old.content
    with pytest.raises(BadSignals, match=r"hashes to .*plan the study"):
        load_signals(changed.model_copy(update={"content": old.content}), sources=sources)


def test_an_unknown_name_is_refused_with_the_allowed_names():
    """The error for an unknown name lists every allowed name."""
    with pytest.raises(BadConfig, match=r"'mnist6k'; .*: mnist5k, digits8"):
        load_signals(SignalsConfig(name="mnist6k"))


def test_an_unknown_option_is_refused():
    """A source rejects an option that it does not support."""
    with pytest.raises(BadConfig, match="'color'"):
        load_signals(SignalsConfig(name="digits8", options={"color": True}))


@pytest.mark.parametrize("subset", [1, 11, 1798])
def test_a_subset_out_of_range_is_refused(subset: int):
    """If a subset is too small to be split or larger than the set, the error states the bounds."""
    with pytest.raises(BadConfig, match=f"{subset} .*12 .*1797"):
        load_signals(SignalsConfig(name="digits8", subset=subset))


def test_the_smallest_subset_trains_every_class_and_has_a_test_signal():
    """The smallest subset contains a training signal of each class, one validation signal and one test signal."""
    signals = load_signals(SignalsConfig(name="digits8", subset=12))
    assert sorted(present(signals.labels)[signals.split == SPLITS["train"]]) == list(range(10))
    assert {SPLITS["val"], SPLITS["test"]} < set(present(signals.split))


def test_a_source_is_known_by_the_name_that_the_user_gives_it():
    """The card of loaded signals contains the name under which the user registered their source.

    The source receives the options of the configuration.
    """
    signals = load_signals(SignalsConfig(name="mine", options={"pixel": 3}), sources={"mine": tiny})
    assert signals.card.name == "mine"
    assert signals.values[signals.ids == 0].flat[0] == 3


def test_the_shared_values_cannot_be_written():
    """Loaded values are read-only, because all trials of a process share them.

    Labels are copied and can be changed.
    """
    signals = load_signals(DIGITS)
    with pytest.raises(ValueError, match="read-only"):
        signals.values[0] = 0
    present(signals.labels)[:] = 0
    assert present(load_signals(DIGITS).labels).any()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("mnist5k", "a0c15cbcccf29f723ad5e982fe01066956146683350d6a7a8e93666c9eabf62f"),
        ("digits8", "9d374d5cb156f952ec23a5ba57f1ad06180425a81876dd93ae5ced1a30e6b4db"),
    ],
)
def test_bundled_digits_are_the_ones_measured(name: str, content: str):
    """The bundled digits, their split and their order are those used for all recorded measurements."""
    assert load_signals(SignalsConfig(name=name)).card.content_hash == content


def test_a_search_has_no_test_signals_and_more_validation_signals():
    """Without test signals, the same number of digits is fitted, and 110 instead of 30 of 400 validate.

    Training and validation signals of the full set are all there is to draw from: none was a test signal.
    """
    config = SignalsConfig(name="mnist5k", subset=400)
    whole = {i: code for i, (_, code) in _split_by_id(SignalsConfig(name="mnist5k")).items()}
    tested, searched = load_signals(config), load_signals(config.model_copy(update={"without_test": True}))
    assert (tested.has_test, searched.has_test) == (True, False)
    assert len(tested) == len(searched) == 400
    assert np.bincount(present(tested.split)).tolist() == [290, 30, 80]
    assert np.bincount(present(searched.split)).tolist() == [290, 110]
    assert set(np.bincount(present(searched.labels) * 2 + present(searched.split))) == {29, 11}
    assert all(whole[i] != SPLITS["test"] for i in searched.ids.tolist())
    assert searched.card == tested.card
    everything = load_signals(SignalsConfig(name="mnist5k", without_test=True))
    assert np.bincount(present(everything.split)).tolist() == [2880, 1120]
    assert set(searched.ids) < set(everything.ids)
    with pytest.raises(ValueError, match="read-only"):
        searched.values[0] = 0


def test_signals_without_test_signals_are_the_signals_of_their_ids():
    """Values and labels of each id are those of the full set, and the same configuration gives the same order."""
    config = SignalsConfig(name="digits8", subset=90, without_test=True)
    searched, full, again = load_signals(config), load_signals(DIGITS), load_signals(pin(config))
    row = {int(i): index for index, i in enumerate(full.ids)}
    rows = [row[int(i)] for i in searched.ids]
    np.testing.assert_array_equal(searched.values, full.values[rows])
    np.testing.assert_array_equal(present(searched.labels), present(full.labels)[rows])
    np.testing.assert_array_equal(searched.ids, again.ids)
    np.testing.assert_array_equal(present(searched.split), present(again.split))


def test_a_source_with_its_own_split_keeps_the_rule():
    """A source that defines its split loses exactly its test signals; one without a split is unchanged."""
    split = np.repeat(np.array([0, 1, 2], dtype=np.int8), [60, 6, 24])

    def drawn(config: SignalsConfig) -> Signals:
        values = np.random.default_rng(7).integers(0, 256, (90, 4, 4, 1), dtype=np.uint8)
        labels, names = np.arange(90) % 3, ("a", "b", "c")
        about: dict[str, Any] = {"config": config, "license": "none", "source": "drawn"}
        if config.options.get("split"):
            return image_set(values, labels, class_names=names, split=split, **about)
        return signal_set(values, kind=IMAGE, **about)

    sources = {"drawn": drawn}
    config = SignalsConfig(name="drawn", options={"split": True}, without_test=True)
    searched = load_signals(config, sources=sources)
    assert set(searched.ids) == set(range(66))
    assert np.bincount(present(searched.split)).tolist() == [45, 21], "60 of 90 are two thirds; of 22 in a class, 15"
    unsplit = load_signals(SignalsConfig(name="drawn", without_test=True), sources=sources)
    assert (len(unsplit), unsplit.split, unsplit.has_test) == (90, None, False)


@pytest.mark.parametrize("subset", [10, 1797])
def test_the_bounds_of_a_subset_count_no_test_signals(subset: int):
    """Without test signals, the smallest subset needs one signal fewer, and the largest has no test signals."""
    smallest = load_signals(SignalsConfig(name="digits8", subset=11, without_test=True))
    assert np.bincount(present(smallest.split)).tolist() == [10, 1]
    left = sum(code != SPLITS["test"] for _, code in _split_by_id(DIGITS).values())
    subset = min(subset, left + 1)
    with pytest.raises(BadConfig, match=f"{subset} .*11 .*per class, one validation\\) to {left};"):
        load_signals(SignalsConfig(name="digits8", subset=subset, without_test=True))
