"""Tests of the catalog, which returns a full set of signals or a stratified subset."""

from collections import Counter

import numpy as np
import pytest

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadConfig, BadSignals
from nefstudy.signals.catalog import SIGNALS, load_signals, pin
from nefstudy.signals.image_set import image_set
from nefstudy.signals.signal import SPLITS, Signals

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
