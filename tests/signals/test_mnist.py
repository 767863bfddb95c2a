"""Laws of IDX files: written in the published layout, read back bit for bit, or refused by name."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadConfig, BadSignals
from nefstudy.signals.catalog import load_signals
from nefstudy.signals.mnist import decode_idx
from nefstudy.signals.signal import Signals

COUNTS = {"train": 120, "t10k": 20}


def digits(stem: str, side: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(len(stem))
    return rng.integers(0, 256, (COUNTS[stem], side, side), dtype=np.uint8), np.arange(COUNTS[stem]) % 10


def idx(array: np.ndarray) -> bytes:
    head = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(np.uint8).tobytes()


def write(folder: Path, *, name: str = "{stem}-{kind}-idx{axes}-ubyte", pack=lambda data: data) -> Path:
    for stem in COUNTS:
        for kind, array in zip(("images", "labels"), digits(stem), strict=True):
            (folder / name.format(stem=stem, kind=kind, axes=array.ndim)).write_bytes(pack(idx(array)))
    return folder


def load(folder: Path | str, **options) -> Signals:
    return load_signals(SignalsConfig(name="mnist", options={"path": str(folder), **options}))


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("{stem}-{kind}-idx{axes}-ubyte", lambda data: data),
        ("{stem}-{kind}-idx{axes}-ubyte.gz", gzip.compress),
        ("{stem}-{kind}.idx{axes}-ubyte", lambda data: data),
    ],
)
def test_the_four_files_come_back_bit_for_bit(tmp_path: Path, name: str, pack):
    """Train then test digits, each with its own label, plain, gzipped or under the dotted names."""
    signals = load(write(tmp_path, name=name, pack=pack))
    by_id = signals.select(np.argsort(signals.ids))
    images, labels = (np.concatenate(pair) for pair in zip(digits("train"), digits("t10k"), strict=True))
    np.testing.assert_array_equal(by_id.values[..., 0], images)
    np.testing.assert_array_equal(by_id.labels, labels)
    assert (by_id.split[120:] == 2).all()


def test_a_twelfth_of_train_validates(tmp_path: Path):
    """55,000 / 5,000 / 10,000 in proportion: 110, 10, and all of t10k."""
    signals = load(write(tmp_path))
    np.testing.assert_array_equal(np.bincount(signals.split), [110, 10, 20])
    assert sorted(signals.labels[signals.split == 1]) == list(range(10))


def _without_labels(folder: Path) -> None:
    (folder / "t10k-labels-idx1-ubyte").unlink()


def _truncated(folder: Path) -> None:
    path = folder / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])


def _one_label_short(folder: Path) -> None:
    (folder / "train-labels-idx1-ubyte").write_bytes(idx(digits("train")[1][:-1]))


def _floats(folder: Path) -> None:
    (folder / "train-images-idx3-ubyte").write_bytes(struct.pack(">HBB3I", 0, 13, 3, 1, 1, 1) + bytes(4))


def _swapped(folder: Path) -> None:
    (folder / "train-images-idx3-ubyte").write_bytes((folder / "train-labels-idx1-ubyte").read_bytes())


def _other_size(folder: Path) -> None:
    (folder / "t10k-images-idx3-ubyte").write_bytes(idx(digits("t10k", side=7)[0]))


def _half_a_gzip(folder: Path) -> None:
    path = folder / "train-images-idx3-ubyte"
    (folder / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes())[:-20])
    path.unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_without_labels, "lacks t10k-labels-idx1-ubyte or its .gz; download all four files"),
        (_truncated, "train-images-idx3-ubyte has 4335 bytes, its header says 4336; download it again"),
        (_one_label_short, "120 images and 119 labels under train-"),
        (_floats, "is no IDX file of 3-axis bytes"),
        (_swapped, "is no IDX file of 3-axis bytes"),
        (_other_size, r"images are \(6, 6\) in train, \(7, 7\) in t10k"),
        (_half_a_gzip, "is no whole gzip file"),
    ],
)
def test_a_spoilt_download_is_refused(tmp_path: Path, spoil, message: str):
    """A missing, cut, foreign or mismatched file is named with what to do."""
    spoil(write(tmp_path))
    with pytest.raises(BadSignals, match=message) as refused:
        load(tmp_path)
    assert "\n" not in str(refused.value)


def test_a_header_that_promises_more_than_memory_is_refused():
    """Extents of 2^32 - 1 are compared with the file's length, not allocated."""
    with pytest.raises(BadSignals, match="its header says"):
        decode_idx(struct.pack(">HBB3I", 0, 8, 3, *[2**32 - 1] * 3), where="here", axes=3)


def test_mnist_needs_its_path_and_nothing_else(tmp_path: Path):
    """The path is required; image options do not apply to IDX files."""
    with pytest.raises(BadConfig, match="option 'path' is None; give the folder with MNIST's"):
        load_signals(SignalsConfig(name="mnist"))
    with pytest.raises(BadConfig, match="unknown option 'size'"):
        load(write(tmp_path), size=4)
