"""Tests of IDX files: the published layout is read exactly, and invalid files are rejected with the reason."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadConfig, BadSignals
from nefstudy.signals.catalog import load_signals
from nefstudy.signals.signal import SPLITS, Signals, Split
from nefstudy.signals.sources import mnist
from nefstudy.signals.sources.mnist import decode_idx, read_fashion_mnist

from ...present import present

COUNTS = {"train": 120, "t10k": 20}


def digits(stem: str, side: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(len(stem))
    return rng.integers(0, 256, (COUNTS[stem], side, side), dtype=np.uint8), np.arange(COUNTS[stem]) % 10


def idx(array: np.ndarray) -> bytes:
    head = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(np.uint8).tobytes()


def write(folder: Path, *, name: str = "{stem}-{kind}-idx{axes}-ubyte", pack=lambda data: data, side: int = 6) -> Path:
    for stem in COUNTS:
        for kind, array in zip(("images", "labels"), digits(stem, side), strict=True):
            (folder / name.format(stem=stem, kind=kind, axes=array.ndim)).write_bytes(pack(idx(array)))
    return folder


def load(folder: Path | str, *, source: str = "mnist", **options) -> Signals:
    return load_signals(SignalsConfig(name=source, options={"path": str(folder), **options}))


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("{stem}-{kind}-idx{axes}-ubyte", lambda data: data),
        ("{stem}-{kind}-idx{axes}-ubyte.gz", gzip.compress),
        ("{stem}-{kind}.idx{axes}-ubyte", lambda data: data),
    ],
)
def test_the_four_files_are_read_bit_for_bit(tmp_path: Path, name: str, pack):
    """The four files are read bit for bit, whether they are plain, gzipped or named with a dot.

    Training and test digits keep their labels.
    """
    signals = load(write(tmp_path, name=name, pack=pack))
    by_id = signals.select(np.argsort(signals.ids))
    images, labels = (np.concatenate(pair) for pair in zip(digits("train"), digits("t10k"), strict=True))
    np.testing.assert_array_equal(by_id.values[..., 0], images)
    np.testing.assert_array_equal(by_id.labels, labels)
    assert (present(by_id.split)[120:] == 2).all()


def test_a_twelfth_of_train_becomes_validation(tmp_path: Path):
    """A twelfth of the training digits, balanced over classes, becomes the validation split.

    The t10k files are the test split.
    """
    signals = load(write(tmp_path))
    np.testing.assert_array_equal(np.bincount(present(signals.split)), [110, 10, 20])
    assert sorted(present(signals.labels)[signals.split == 1]) == list(range(10))


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
        (_without_labels, "t10k-labels-idx1-ubyte .*.gz; .*download"),
        (_truncated, "train-images-idx3-ubyte .*4335 .*4336; .*download"),
        (_one_label_short, "120 images .*119 labels .*train-"),
        (_floats, "train-images-idx3-ubyte .*IDX .*3 axes"),
        (_swapped, "train-images-idx3-ubyte .*IDX .*3 axes"),
        (_other_size, r"\(6, 6\) .*train .*\(7, 7\) .*t10k"),
        (_half_a_gzip, r"train-images-idx3-ubyte\.gz .*gzip"),
    ],
)
def test_a_damaged_download_is_refused(tmp_path: Path, spoil, message: str):
    """The error for a missing, damaged or mismatched file states the fix."""
    spoil(write(tmp_path))
    with pytest.raises(BadSignals, match=message) as refused:
        load(tmp_path)
    assert "\n" not in str(refused.value)


def test_a_header_larger_than_memory_is_refused():
    """A header that describes far more data than the file contains is rejected before memory is allocated."""
    with pytest.raises(BadSignals, match=r"here .*16 .*header .*\d{29}"):
        decode_idx(struct.pack(">HBB3I", 0, 8, 3, *[2**32 - 1] * 3), where="here", axes=3)


def test_mnist_takes_only_a_path(tmp_path: Path):
    """For IDX files, `path` is the only option, and it is required."""
    with pytest.raises(BadConfig, match=r"'path' .*None; .*MNIST"):
        load_signals(SignalsConfig(name="mnist"))
    with pytest.raises(BadConfig, match="'size'"):
        load(write(tmp_path), size=4)


FASHION = SignalsConfig(name="fashion-mnist")


def test_fashion_mnist_is_read_where_it_is_installed_and_from_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Fashion-MNIST has the same content whether it is installed or given by path.

    It has its own license and class names.
    """
    write(tmp_path, name="{stem}-{kind}-idx{axes}-ubyte.gz", pack=gzip.compress, side=28)
    monkeypatch.setattr(mnist, "FASHION_MNIST", str(tmp_path))
    installed, given = read_fashion_mnist(FASHION), load(tmp_path, source="fashion-mnist")
    images, labels = (np.concatenate(pair) for pair in zip(digits("train", 28), digits("t10k", 28), strict=True))
    np.testing.assert_array_equal(installed.values[..., 0], images)
    np.testing.assert_array_equal(installed.labels, labels)
    assert installed.card == given.card
    assert (given.card.license, given.card.source) == ("MIT (Fashion-MNIST: Zalando SE)", str(tmp_path))
    assert (given.card.class_names[0], given.card.class_names[9]) == ("T-shirt/top", "Ankle boot")
    np.testing.assert_array_equal(np.bincount(present(given.split)), [110, 10, 20])
    assert given.card.content_hash == load(tmp_path).card.content_hash, "the reader of MNIST reads the same data"


def test_fashion_mnist_that_is_not_here_is_refused_with_both_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """If Fashion-MNIST is not installed, a one-line error states the two ways to provide it.

    One is to install it with the package or `make data`; the other is to give its path with an option.
    """
    monkeypatch.setattr(mnist, "FASHION_MNIST", f"{tmp_path}/nowhere")
    message = r"nowhere .*; .*`make data` .*dataset-fashion-mnist.* --data fashion-mnist=PATH$"
    with pytest.raises(BadSignals, match=message) as refused:
        read_fashion_mnist(FASHION)
    assert "\n" not in str(refused.value)
    with pytest.raises(BadSignals, match=r"elsewhere .*exist"):
        load(tmp_path / "elsewhere", source="fashion-mnist")
    with pytest.raises(BadConfig, match="'size'"):
        load(tmp_path, source="fashion-mnist", size=4)


def test_files_of_another_set_are_refused_as_fashion_mnist(tmp_path: Path):
    """Files of another data set are not accepted as Fashion-MNIST.

    They are recognized by another image size or by an eleventh class.
    """
    with pytest.raises(BadSignals, match=r"\(6, 6\), .*fashion-mnist .*\(28, 28\)"):
        load(write(tmp_path), source="fashion-mnist")
    write(tmp_path, side=28)
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(np.arange(COUNTS["t10k"]) % 11))
    with pytest.raises(BadSignals, match=r"label.*10") as refused:
        load(tmp_path, source="fashion-mnist")
    assert "\n" not in str(refused.value)


def test_other_pixels_of_fashion_mnist_are_another_content(tmp_path: Path):
    """Changing one pixel of Fashion-MNIST changes its content hash."""
    paths = [tmp_path / name for name in ("one", "two")]
    for path in paths:
        path.mkdir()
        write(path, side=28)
    images = digits("t10k", 28)[0]
    images[3, 4, 5] ^= 1
    (paths[1] / "t10k-images-idx3-ubyte").write_bytes(idx(images))
    one, two = (load(path, source="fashion-mnist").card.content_hash for path in paths)
    assert one != two


@pytest.mark.slow
@pytest.mark.skipif(not Path(mnist.FASHION_MNIST).is_dir(), reason="Fashion-MNIST is not installed: make data")
def test_the_installed_fashion_mnist_is_the_published_one():
    """The test split of the installed Fashion-MNIST is the published one, in its original order.

    The whole set is split 55,000 / 5,000 / 10,000.
    """
    signals = read_fashion_mnist(FASHION)
    assert (signals.card.grid, signals.card.channels, len(signals)) == ((28, 28), 1, 70_000)
    labels, split = present(signals.labels), present(signals.split)
    counts: dict[Split, int] = {"train": 5500, "val": 500, "test": 1000}
    for part, count in counts.items():
        np.testing.assert_array_equal(np.bincount(labels[split == SPLITS[part]]), [count] * 10)
    published = gzip.decompress((Path(mnist.FASHION_MNIST) / "t10k-images-idx3-ubyte.gz").read_bytes())[16:]
    assert signals.values[60_000:].tobytes() == published
    assert (split[60_000:] == SPLITS["test"]).all()
    assert (split[:60_000] != SPLITS["test"]).all()
    assert signals.card.content_hash == "a134940786467adf60fcf9ba5f3908876f294fc390e49b51ae6d69828dca4eac"
    with pytest.raises(BadSignals, match="hashes to"):
        load_signals(FASHION.model_copy(update={"content": "0" * 64}))
