"""Tests of how signals are presented to users: the list of sources, summaries, baselines, contact sheets and checks."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadConfig, BadSignals
from nefstudy.signals.catalog import BUNDLED, INSTALLABLE, SIGNALS, load_signals
from nefstudy.signals.shape_set import POOL
from nefstudy.signals.show import (
    MAX_SIDE,
    VOXELS,
    baseline_accuracy,
    catalog_rows,
    check_location,
    class_sheet,
    features,
    reader_of,
    summary,
    summary_card,
)

from ..present import present


def test_every_source_is_listed_with_a_description():
    """Every source is listed with a description, in catalog order.

    A source that needs a path does not load without one.
    """
    rows = catalog_rows()
    assert [row["name"] for row in rows] == list(SIGNALS)
    assert all(row["about"].endswith((".", "`.")) for row in rows)
    for row in rows:
        if row["name"] in INSTALLABLE:
            continue
        assert (row["needs"] == "") == (row["name"] in BUNDLED)
        if row["needs"]:
            with pytest.raises(BadConfig, match="path"):
                SIGNALS[row["name"]](SignalsConfig(name=row["name"]))


def test_an_installable_set_needs_a_path_only_where_it_is_not_installed(tmp_path: Path, monkeypatch):
    """An installable set needs a path only if the folder where `make data` installs it does not exist."""
    (name,) = INSTALLABLE
    needs = []
    for folder in (tmp_path, tmp_path / "nowhere"):
        monkeypatch.setitem(INSTALLABLE, name, str(folder))
        needs += [row["needs"] for row in catalog_rows() if row["name"] == name]
    assert needs == ["", "path"]


def test_a_summary_counts_every_signal_once():
    """In a summary, the counts per class and split add up to the size of the set or subset."""
    digits = summary(SignalsConfig(name="digits8", subset=200), baseline=False)
    assert sum(digits["split"].values()) == digits["signals"] == 200
    assert sum(row["train"] + row["val"] + row["test"] for row in digits["classes"]) == 200
    assert digits["baseline_test_accuracy"] is None
    assert digits["content"] == load_signals(SignalsConfig(name="digits8")).card.content_hash


@pytest.mark.slow
def test_a_baseline_learns_digits_but_not_shuffled_labels():
    """The baseline's accuracy is far above chance on digits, and near chance with shuffled labels."""
    signals = load_signals(SignalsConfig(name="digits8", subset=900))
    assert baseline_accuracy(signals) > 0.85
    shuffled = np.random.default_rng(0).permutation(present(signals.labels))
    assert baseline_accuracy(replace(signals, labels=shuffled)) < 0.3


def test_features_of_images_are_their_pixels():
    """The features of a small image are its pixels.

    Along a side above the maximum, pixels are averaged in pairs.
    """
    digits = load_signals(SignalsConfig(name="digits8", subset=20))
    np.testing.assert_array_equal(features(digits), digits.values.reshape(20, 64))
    large = np.random.default_rng(0).random((3, 2 * MAX_SIDE, MAX_SIDE, 1)).astype(np.float32)
    downsampled = features(replace(digits.first(3), card=replace(digits.card, grid=large.shape[1:3]), values=large))
    expected = large.reshape(3, MAX_SIDE, 2, MAX_SIDE, 1).mean(axis=2)
    np.testing.assert_allclose(downsampled, expected.reshape(3, -1), rtol=1e-6)


def test_the_points_of_a_shape_are_those_of_its_pool():
    """The summary of a set of shapes states the number of points that a fit may use, not of those that are stored."""
    shapes = summary(SignalsConfig(name="shapes10", options={"per_class": 3}), baseline=False)
    digits = summary(SignalsConfig(name="digits8"), baseline=False)
    assert (shapes["points"], digits["points"]) == (POOL, 64)


def test_features_of_shapes_mark_voxels_with_inside_points():
    """A voxel is 1 if it contains one of the shape's inside points, otherwise 0."""
    signals = load_signals(SignalsConfig(name="shapes10", options={"per_class": 3}))
    voxels = features(signals).reshape(-1, VOXELS, VOXELS, VOXELS)
    point = present(signals.samples).fitted[5, 17].astype(np.float32)
    assert voxels[(5, *((point + 1) / 2 * VOXELS).astype(int))] == 1
    assert 0 < voxels.mean() < 0.5


def test_a_sheet_has_a_row_for_every_class():
    """The contact sheet of a set has a row of images for every class.

    Digits of 8 x 8 pixels are zoomed by a factor of two.
    """
    sheet = Image.open(io.BytesIO(class_sheet(load_signals(SignalsConfig(name="digits8", subset=300)))))
    assert sheet.size == (2 * (10 * 8 + 9 * 2), 2 * (10 * 8 + 9 * 2))


def birds(path: Path) -> Path:
    for name in ("hawk", "owl"):
        (path / name).mkdir(parents=True)
        for index in range(6):
            pixels = np.full((8, 8), 20 * index + (name == "owl"), dtype=np.uint8)
            Image.fromarray(pixels).save(path / name / f"{index}.png")
    return path


def test_a_folder_is_checked_by_the_matching_reader(tmp_path: Path):
    """A folder of images is checked with the source `folder`, which receives the given options."""
    row = check_location(str(birds(tmp_path)), options={"size": 4})
    assert (row["reader"], row["signals"], row["grid"]) == ("folder", 12, [4, 4])
    assert check_location(str(tmp_path), options={}, source="folder")["grid"] == [8, 8]


@pytest.mark.parametrize(
    ("file", "reader"),
    [
        ("train-00000-of-00001.parquet", "parquet"),
        ("train-images-idx3-ubyte.gz", "mnist"),
        ("test_batch.bin", "cifar10"),
        ("02691156/m0/points.npz", "occupancy"),
        ("cat/1.JPG", "folder"),
    ],
)
def test_readers_are_recognized_by_file_names(tmp_path: Path, file: str, reader: str):
    """Each published layout is recognized from the names of its files."""
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).touch()
    assert reader_of(str(tmp_path)) == reader


def test_a_folder_without_signals_is_refused(tmp_path: Path):
    """The error for an empty folder lists the supported file names."""
    with pytest.raises(BadSignals, match=r"no \.parquet"):
        reader_of(str(tmp_path))
    assert (reader_of("a/b.npz"), reader_of("s3://x/b.parquet")) == ("arrays", "parquet")


def test_a_summary_without_test_signals_counts_none():
    """Without test signals, a summary has neither a column for them nor a test accuracy of a baseline."""
    digits = summary(SignalsConfig(name="digits8", subset=100, without_test=True))
    assert list(digits["split"]) == ["train", "val"]
    assert sum(digits["split"].values()) == digits["signals"] == 100
    assert all(set(row) == {"class", "train", "val"} for row in digits["classes"])
    assert (digits["test_signals_in_train"], digits["baseline_test_accuracy"]) == (0, None)
    text = io.StringIO()
    Console(file=text, width=200).print(summary_card(digits))
    assert "val" in text.getvalue()
    assert "test" not in text.getvalue()
