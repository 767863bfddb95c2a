"""Tests of CIFAR-10's binary version: the published layout is read exactly, and errors name the damaged file."""

from pathlib import Path

import numpy as np
import pytest

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadSignals
from nefstudy.signals.catalog import load_signals
from nefstudy.signals.signal import Signals
from nefstudy.signals.sources.cifar import TEST, TRAIN, decode_batch

from ...present import present

PER_BATCH = 20


def batch(number: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(number)
    return rng.integers(0, 256, (PER_BATCH, 32, 32, 3), dtype=np.uint8), np.arange(PER_BATCH, dtype=np.uint8) % 10


def encode(images: np.ndarray, labels: np.ndarray) -> bytes:
    """Return concatenated records, each containing a label and the red, green and blue planes of an image."""
    records = [
        bytes([label]) + image[..., 0].tobytes() + image[..., 1].tobytes() + image[..., 2].tobytes()
        for image, label in zip(images, labels, strict=True)
    ]
    return b"".join(records)


def write(folder: Path) -> Path:
    for number, name in enumerate((*TRAIN, TEST)):
        (folder / name).write_bytes(encode(*batch(number)))
    return folder


def load(folder: Path) -> Signals:
    return load_signals(SignalsConfig(name="cifar10", options={"path": str(folder)}))


def test_the_six_files_are_read_bit_for_bit(tmp_path: Path):
    """The six files are read bit for bit, first the five training batches and then the test batch.

    Images have their channels last.
    """
    signals = load(write(tmp_path))
    by_id = signals.select(np.argsort(signals.ids))
    np.testing.assert_array_equal(by_id.values, np.concatenate([batch(number)[0] for number in range(6)]))
    np.testing.assert_array_equal(by_id.labels, np.tile(batch(0)[1], 6))
    np.testing.assert_array_equal(np.bincount(present(signals.split)), [90, 10, 20])
    assert (present(by_id.split)[100:] == 2).all()
    assert signals.card.class_names[3] == "cat"


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("data_batch_3.bin", None, "data_batch_3.bin; .*cifar-10-binary.tar.gz"),
        ("test_batch.bin", b"", "0 bytes, .*3073"),
        ("data_batch_2.bin", encode(*batch(2))[:-1], "61459 bytes, .*3073"),
        ("data_batch_2.bin", b"\x0a" + encode(*batch(2))[1:], "record 0 .*label 10; .*0 to 9"),
    ],
)
def test_a_damaged_archive_is_refused(tmp_path: Path, name: str, data: bytes | None, message: str):
    """A missing or truncated file or a label above 9 is rejected with an error that names the file."""
    write(tmp_path)
    if data is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(BadSignals, match=message) as refused:
        load(tmp_path)
    assert name in str(refused.value)


def test_planes_become_channels():
    """The first 1,024 bytes after the label are the red channel, row by row."""
    data = bytes([7]) + bytes(range(256)) * 4 + bytes([1]) * 1024 + bytes([2]) * 1024
    images, labels = decode_batch(data, where="here")
    assert labels.tolist() == [7]
    assert images[0, 0, :3, 0].tolist() == [0, 1, 2]
    assert images[0, 1, 0].tolist() == [32, 1, 2]
