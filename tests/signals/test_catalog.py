"""Laws of the catalogue: what is asked for is what comes, whole or as a stratified subset."""

import numpy as np
import pytest

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadConfig, BadSignals
from nefstudy.signals.catalog import SIGNALS, load_signals, pin, with_options
from nefstudy.signals.image_set import image_set
from nefstudy.signals.signal import SPLITS, Signals

DIGITS = SignalsConfig(name="digits8")


def tiny(config: SignalsConfig) -> Signals:
    """Ninety random 4x4 images of three classes; option `pixel` sets one value."""
    values = np.random.default_rng(7).integers(0, 256, (90, 4, 4, 1), dtype=np.uint8)
    values[0, 0, 0, 0] = int(config.options.get("pixel", 0))
    return image_set(
        values, np.arange(90) % 3, config=config, class_names=("a", "b", "c"), license="none", source="drawn"
    )


def test_mnist5k_is_split_3600_400_1000():
    """The 5,000 digits are split 3600/400/1000, each class alike, on [0, 1] after scaling."""
    signals = load_signals(SignalsConfig(name="mnist5k"))
    assert (signals.card.grid, signals.card.channels, len(signals)) == ((28, 28), 1, 5000)
    for code, per_class in {0: 360, 1: 40, 2: 100}.items():
        assert (np.bincount(signals.labels[signals.split == code]) == per_class).all()
    values = signals.originals(np.arange(5000))
    assert (values.min(), values.max(), values.dtype) == (0, 1, np.float32)


@pytest.mark.slow
def test_digits8_holds_every_level_of_scikit_learn():
    """digits8 is scikit-learn's set over 16: 1,797 signals of 8x8, found again by id."""
    from sklearn.datasets import load_digits

    signals = load_signals(DIGITS)
    assert signals.values.shape == (1797, 8, 8, 1)
    digits = load_digits()
    np.testing.assert_array_equal(signals.values[..., 0] * 16, digits.images[signals.ids])
    np.testing.assert_array_equal(signals.labels, digits.target[signals.ids])


def test_targets_of_the_training_split_are_standardised():
    """Targets of all training signals have mean 0 and deviation 1."""
    signals = load_signals(DIGITS)
    targets = signals.targets(np.flatnonzero(signals.split == SPLITS["train"]))
    assert abs(targets.mean()) < 1e-5
    assert abs(targets.std() - 1) < 1e-4


def test_a_subset_repeats_and_does_not_depend_on_what_was_loaded_before():
    """A subset is the same whichever subsets were drawn before it, and a smaller one is part of it."""
    before = load_signals(SignalsConfig(name="digits8", subset=300))
    small = load_signals(SignalsConfig(name="digits8", subset=100))
    again = load_signals(SignalsConfig(name="digits8", subset=300))
    np.testing.assert_array_equal(before.ids, again.ids)
    np.testing.assert_array_equal(before.values, again.values)
    assert set(small.ids) < set(again.ids)


def test_another_split_seed_draws_another_split_and_subset():
    """The split seed changes the split, the subset and the content hash."""
    one, two = (load_signals(SignalsConfig(name="digits8", subset=300, split_seed=seed)) for seed in (1, 2))
    assert set(one.ids) != set(two.ids)
    assert one.card.content_hash != two.card.content_hash


def test_the_card_does_not_depend_on_the_subset():
    """Standardisation constants and content hash are the full set's."""
    assert load_signals(SignalsConfig(name="digits8", subset=100)).card == load_signals(DIGITS).card


def test_pinning_fills_the_content_and_is_idempotent():
    """Pinning twice gives the same configuration, and a pinned configuration loads."""
    pinned = pin(SignalsConfig(name="digits8", subset=60))
    assert pinned.content == load_signals(DIGITS).card.content_hash
    assert pin(pinned) == pinned
    assert len(load_signals(pinned)) == 60


def test_a_changed_pixel_changes_the_content_and_is_refused_under_the_old_pin():
    """One pixel by one level makes another content hash, which the old pin does not accept."""
    sources = SIGNALS | {"tiny": tiny}
    old = pin(SignalsConfig(name="tiny"), sources=sources)
    changed = SignalsConfig(name="tiny", options={"pixel": 1})
    assert pin(changed, sources=sources).content != old.content
    with pytest.raises(BadSignals, match=r"now hashes to .* plan the study again"):
        load_signals(changed.model_copy(update={"content": old.content}), sources=sources)


def test_an_unknown_name_lists_what_exists():
    """An unknown name is refused with every name that is allowed."""
    with pytest.raises(BadConfig, match="unknown signals 'mnist6k': allowed are mnist5k, digits8"):
        load_signals(SignalsConfig(name="mnist6k"))


def test_an_unknown_option_is_refused():
    """A source refuses an option it does not know."""
    with pytest.raises(BadConfig, match="unknown option 'colour'"):
        load_signals(SignalsConfig(name="digits8", options={"colour": True}))


@pytest.mark.parametrize("subset", [1, 11, 1798])
def test_a_subset_the_set_cannot_give_is_refused(subset: int):
    """A subset too small to train, validate and test, or larger than the set, is refused with the bounds."""
    with pytest.raises(BadConfig, match=f"subset {subset} is not among 12 .* to 1797"):
        load_signals(SignalsConfig(name="digits8", subset=subset))


def test_the_smallest_subset_trains_every_class_and_tests_something():
    """The smallest subset holds each class in train and a signal to validate and one to test."""
    signals = load_signals(SignalsConfig(name="digits8", subset=12))
    assert sorted(signals.labels[signals.split == SPLITS["train"]]) == list(range(10))
    assert {SPLITS["val"], SPLITS["test"]} < set(signals.split)


def test_bound_options_name_a_source_of_ones_own():
    """A source under one's own name and options appears under that name on the card."""
    sources = {"mine": with_options(tiny, pixel=3)}
    signals = load_signals(SignalsConfig(name="mine"), sources=sources)
    assert signals.card.name == "mine"
    assert signals.values[signals.ids == 0].flat[0] == 3


def test_the_shared_values_cannot_be_written():
    """Loaded values are read-only, since every trial of the process shares them; labels are the caller's own."""
    signals = load_signals(DIGITS)
    with pytest.raises(ValueError, match="read-only"):
        signals.values[0] = 0
    signals.labels[:] = 0
    assert load_signals(DIGITS).labels.any()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("mnist5k", "a0c15cbcccf29f723ad5e982fe01066956146683350d6a7a8e93666c9eabf62f"),
        ("digits8", "9d374d5cb156f952ec23a5ba57f1ad06180425a81876dd93ae5ced1a30e6b4db"),
    ],
)
def test_bundled_digits_are_the_ones_measured(name: str, content: str):
    """The digits, their split and order are those that every recorded figure was measured on."""
    assert load_signals(SignalsConfig(name=name)).card.content_hash == content
