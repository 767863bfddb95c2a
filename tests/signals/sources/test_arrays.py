"""Tests that the arrays of an npz file are read unchanged, or a one-line error says what to save instead."""

from pathlib import Path

import numpy as np
import pytest

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadConfig, BadSignals
from nefstudy.signals.catalog import load_signals
from nefstudy.signals.signal import Signals

from ...present import present

VALUES = np.random.default_rng(0).integers(0, 256, (30, 5, 4, 3), dtype=np.uint8)
LABELS = np.arange(30) % 3


def load(path: Path | str) -> Signals:
    return load_signals(SignalsConfig(name="arrays", options={"path": str(path)}))


def save(folder: Path, **arrays) -> Path:
    np.savez(folder / "set.npz", **arrays)
    return folder / "set.npz"


def test_arrays_are_read_back_unchanged(tmp_path: Path):
    """Values, labels, split, ids and class names of a loaded set equal those in the npz file."""
    split, ids = np.arange(30) // 3 % 3, np.arange(30) + 100
    path = save(tmp_path, values=VALUES, labels=LABELS, split=split, ids=ids, class_names=["x", "y", "z"])
    signals = load(path)
    rows = signals.ids - 100
    np.testing.assert_array_equal(signals.values, VALUES[rows])
    np.testing.assert_array_equal(signals.labels, LABELS[rows])
    np.testing.assert_array_equal(signals.split, split[rows])
    assert signals.card.class_names == ("x", "y", "z")


def test_values_and_labels_are_enough(tmp_path: Path):
    """If a file contains only values and labels, a split is drawn and the classes are numbered.

    Compressed files can be read too.
    """
    np.savez_compressed(tmp_path / "set.npz", values=VALUES[..., 0] / 255, labels=LABELS.astype(np.uint8))
    signals = load(tmp_path / "set.npz")
    assert signals.card.class_names == ("0", "1", "2")
    assert signals.card.channels == 1
    assert set(present(signals.split)) == {0, 1, 2}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, r"values and labels .*nothing"),
        ({"images": VALUES, "labels": LABELS}, r"values \(.*images, labels\); .*values, labels"),
        ({"values": VALUES[0, 0], "labels": LABELS}, r"values .*\[signals, height, width"),
        ({"values": np.array(3), "labels": LABELS}, r"values .*\(\)"),
        ({"values": VALUES, "labels": np.array(3)}, "label 3 .*1 signals"),
        ({"values": VALUES, "labels": LABELS[:-1]}, "labels .*shape"),
        ({"values": VALUES, "labels": np.array(["a", "b", "c"] * 10)}, "labels .*text"),
        ({"values": VALUES, "labels": np.array(["a", None, "c"] * 10, dtype=object)}, "numeric"),
        ({"values": VALUES, "labels": LABELS * 10**9}, "label 2000000000 .*30 signals"),
        ({"values": VALUES, "labels": LABELS * 2}, "'1' .*0 signals"),
        ({"values": VALUES, "labels": LABELS, "ids": LABELS}, "id 0 .*10 times"),
        ({"values": VALUES, "labels": LABELS, "class_names": ["x", "y"]}, "labels .*0 to 2"),
        ({"values": VALUES / np.nan, "labels": LABELS}, "NaN"),
    ],
)
def test_invalid_arrays_are_refused_on_one_line(tmp_path: Path, arrays: dict, message: str):
    """The errors about missing keys and inconsistent arrays name the file and the fix."""
    path = save(tmp_path, **arrays)
    with pytest.raises(BadSignals, match=message) as refused:
        load(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_files_other_than_npz_are_refused(tmp_path: Path):
    """The error for a path that is not an npz file states the cause.

    The path is missing, or it is a folder, a text, a single array or an empty file.
    """
    path = tmp_path / "set.npz"
    with pytest.raises(BadSignals, match=f"{path} .*path"):
        load(path)
    with pytest.raises(BadSignals, match=str(tmp_path)):
        load(tmp_path)
    for content in (b"", b"values,labels", b"PK\x03\x04 and then nothing"):
        path.write_bytes(content)
        with pytest.raises(BadSignals, match=f"{path} .*npz "):
            load(path)
    with path.open("wb") as file:
        np.save(file, VALUES)
    with pytest.raises(BadSignals, match="single array"):
        load(path)


@pytest.mark.parametrize("compress", [np.savez, np.savez_compressed])
def test_every_truncation_is_refused(tmp_path: Path, compress):
    """A file truncated at any position is rejected."""
    compress(tmp_path / "set.npz", values=VALUES[:, :2, :2], labels=LABELS)
    data = (tmp_path / "set.npz").read_bytes()
    for length in range(0, len(data), 41):
        (tmp_path / f"{length}.npz").write_bytes(data[:length])
        with pytest.raises(BadSignals, match=f"/{length}.npz .*npz "):
            load(tmp_path / f"{length}.npz")


def test_flipped_bits_never_cause_a_traceback(tmp_path: Path):
    """Reading a file with a flipped bit either succeeds or raises BadSignals with a one-line message."""
    np.savez_compressed(tmp_path / "set.npz", values=VALUES[:, :2, :2], labels=LABELS)
    data = (tmp_path / "set.npz").read_bytes()
    rng = np.random.default_rng(3)
    messages = []
    for attempt in range(100):
        broken = bytearray(data)
        broken[rng.integers(len(data))] ^= 1 << rng.integers(8)
        (tmp_path / f"{attempt}.npz").write_bytes(broken)
        try:
            load(tmp_path / f"{attempt}.npz")
        except BadSignals as error:
            messages.append(str(error))
    assert messages
    assert not any("\n" in message for message in messages)


def test_an_arrays_source_needs_its_path():
    """A configuration without the option `path` is rejected."""
    with pytest.raises(BadConfig, match=r"'path' .*None; .*npz"):
        load_signals(SignalsConfig(name="arrays"))
