"""Tests of a full set of images: its mean and standard deviation, its content hash, and rejected arrays."""

import numpy as np
import pytest

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadSignals
from nefstudy.signals.image_set import image_set
from nefstudy.signals.signal_set import channel_constants, content_hash

CONFIG = SignalsConfig(name="drawn")


def _values(count: int = 40, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 4, 5, 2), dtype=np.uint8)


def _set(values: np.ndarray, labels: np.ndarray | None = None, **given):
    labels = np.arange(len(values)) % 2 if labels is None else labels
    given = {"config": CONFIG, "class_names": ("a", "b"), "license": "none", "source": "here", **given}
    return image_set(values, labels, **given)


def _hash(values: np.ndarray, **change) -> str:
    parts = {"labels": np.arange(40) % 2, "split": np.arange(40) % 3, "ids": np.arange(40), **change}
    return content_hash(values, parts.pop("labels"), **parts)


def test_constants_agree_with_numpy_per_channel():
    """The mean and standard deviation of each channel equal those that numpy computes from values on [0, 1]."""
    values = _values()
    mean, std = channel_constants(values)
    np.testing.assert_allclose(mean, (values / 255).mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(std, (values / 255).std(axis=(0, 1, 2)), rtol=1e-12)


def test_constants_come_from_the_training_split_alone():
    """The mean and standard deviation are computed from the training images only.

    Changing a training image changes them; changing a test image does not.
    """
    values = _values()
    before = _set(values)
    for code, same in {2: True, 0: False}.items():
        changed = values.copy()
        changed[np.flatnonzero(before.split == code)[0]] = 255
        card = _set(changed).card
        assert (card.mean == before.card.mean) is same
        assert (card.std == before.card.std) is same


def test_the_content_hash_covers_every_part():
    """Changing any part of a set of images changes its content hash.

    Changing a pixel, label, split code, id, the shape or the type changes the hash; copying the arrays does not.
    """
    values = _values()
    pixel = values.copy()
    pixel[3, 2, 1, 0] ^= 1
    ones = np.ones(40, dtype=np.int64)
    different = [
        _hash(values),
        _hash(pixel),
        _hash(values, labels=ones),
        _hash(values, split=ones),
        _hash(values, ids=np.arange(40)[::-1]),
        _hash(values.reshape(40, 5, 4, 2)),
        _hash(values.view(np.int8)),
    ]
    assert len(set(different)) == len(different)
    assert _hash(values.copy(order="F"), labels=(np.arange(40) % 2).astype(np.int32)) == different[0]


def test_grayscale_images_may_omit_the_channel_axis():
    """Images of shape [S, H, W] have one channel."""
    values = _values()[..., 0]
    assert _set(values).card == _set(values[..., None]).card


def test_doubles_become_float32():
    """Float values of any precision are stored as float32."""
    signals = _set(_values() / 255)
    assert signals.values.dtype == np.float32


def test_a_set_keeps_the_given_split_and_ids():
    """A given split and given ids are used unchanged."""
    split, ids = np.arange(40) // 2 % 3, np.arange(100, 140)
    signals = _set(_values(), split=split, ids=ids)
    np.testing.assert_array_equal(signals.split, split)
    np.testing.assert_array_equal(signals.ids, ids)


def test_a_split_without_validation_gets_a_share_of_train():
    """If a split has no validation signals, the given share of its training signals becomes the validation split.

    No other signals are moved.
    """
    split = np.arange(40) % 4 // 3 * 2
    signals = _set(_values(), split=split, validation_share=0.2)
    np.testing.assert_array_equal(np.bincount(signals.split), [24, 6, 10])
    np.testing.assert_array_equal(signals.split == 2, split == 2)


def _with_nan(values: np.ndarray) -> np.ndarray:
    floats = values.astype(np.float32) / 255
    floats[7, 0, 0, 0] = np.nan
    return floats


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"values": np.empty((0, 4, 5, 1), dtype=np.uint8)},
            r"values have shape \(0, 4, 5, 1\); .* no axis of length 0",
        ),
        ({"values": np.zeros(40, dtype=np.uint8)}, "values have shape"),
        ({"values": np.array(3, dtype=np.uint8), "labels": np.arange(40) % 2}, "values have shape"),
        ({"values": _values()[:, :1]}, "at least 2 points along each axis"),
        ({"values": _with_nan(_values())}, "signal 7 .*NaN"),
        ({"values": np.full((40, 4, 5, 1), 1e300)}, "40 signals, .*row 0, .*NaN"),
        ({"values": _values().astype(np.float32)}, r"outside \[0, 1\] \(.*0 to 255\)"),
        ({"values": _values() / 127.5 - 1}, r"outside \[0, 1\]"),
        ({"values": _values().astype(np.int64)}, "values .*int64; .*uint8"),
        ({"values": _values() > 127}, "values .*bool; .*uint8"),
        ({"values": np.zeros((40, 4, 5, 1), dtype=np.uint8)}, "channel 0 .*constant"),
        ({"labels": np.arange(39) % 2}, r"labels .*\(39,\)"),
        ({"labels": np.array(["cat", "dog"] * 20)}, r"text \('cat'\); .*class indices"),
        ({"labels": np.array(["cat", "dog"] * 20, dtype=object)}, "labels .*text"),
        ({"labels": np.arange(40) % 2 + 0.5}, "labels .*float64; .*class indices"),
        ({"labels": np.arange(40) % 2 + 1}, "labels .*1 to 2; .*0 to 1"),
        ({"labels": np.arange(40) % 2 - 1}, "labels .*-1 to 0"),
        ({"labels": np.eye(2, dtype=int)[np.arange(40) % 2]}, r"labels .*\(40, 2\)"),
        ({"labels": np.arange(40) % 2 * (np.arange(40) == 1)}, "'b' .*1 signal; .*3"),
        ({"labels": np.zeros(40, dtype=int)}, "'b' .*0 signals"),
        ({"class_names": ("a",), "labels": np.zeros(40, dtype=int)}, r"\['a'\]; .*two"),
        ({"class_names": ("a", "a")}, r"\['a', 'a'\]; .*distinct"),
        ({"ids": np.zeros(40, dtype=int)}, "id 0 .*40 times"),
        ({"ids": np.arange(40) - 1}, "id -1 "),
        ({"ids": np.arange(40) / 1}, "ids .*float64"),
        ({"ids": np.arange(41)}, r"ids .*\(41,\)"),
        ({"split": np.zeros(40, dtype=int)}, "test split"),
        ({"split": np.arange(40) % 4}, "split .*3; .*0 train, 1 val, 2 test"),
        ({"split": np.arange(39) % 3}, r"split .*int64 .*\(39,\)"),
        ({"split": np.array(["train", "test"] * 20)}, "split .*0 train, 1 val, 2 test"),
        ({"split": np.arange(40) % 2 * (1 + np.arange(40) % 3 // 2)}, "'b' .*training signal"),
    ],
)
def test_bad_arrays_are_refused_on_one_line(change: dict, message: str):
    """The error for an invalid array names the set, its source, the problem and the fix in one line."""
    with pytest.raises(BadSignals, match=message) as refused:
        _set(**{"values": _values(), **change})
    assert "\n" not in str(refused.value)
    assert str(refused.value).startswith("signals 'drawn' (here)")
