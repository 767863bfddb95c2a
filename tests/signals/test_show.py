"""Laws of what people see of signals: every source listed, counts that add up, baselines that learn."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadConfig, BadSignals
from nefstudy.signals.catalog import BUNDLED, SIGNALS, load_signals
from nefstudy.signals.show import (
    MOST_SIDE,
    VOXELS,
    baseline_accuracy,
    catalogue_rows,
    check_location,
    class_sheet,
    features,
    reader_of,
    summary,
)


def test_every_source_is_listed_with_what_it_is():
    """The list is the catalogue in order, each with one line; those that need no path load without one."""
    rows = catalogue_rows()
    assert [row["name"] for row in rows] == list(SIGNALS)
    assert all(row["about"].endswith((".", "`.")) for row in rows)
    for row in rows:
        assert (row["needs"] == "") == (row["name"] in BUNDLED)
        if row["needs"]:
            with pytest.raises(BadConfig, match="path"):
                SIGNALS[row["name"]](SignalsConfig(name=row["name"]))


def test_a_summary_counts_every_signal_once():
    """Classes by split add up to the set; a subset is counted as asked."""
    found = summary(SignalsConfig(name="digits8", subset=200), baseline=False)
    assert sum(found["split"].values()) == found["signals"] == 200
    assert sum(row["train"] + row["val"] + row["test"] for row in found["classes"]) == 200
    assert found["baseline_test_accuracy"] is None
    assert found["content"] == load_signals(SignalsConfig(name="digits8")).card.content_hash


@pytest.mark.slow
def test_a_baseline_reads_digits_and_not_shuffled_ones():
    """Logistic regression is far above chance on digits, and near it when labels are shuffled."""
    signals = load_signals(SignalsConfig(name="digits8", subset=900))
    assert baseline_accuracy(signals) > 0.85
    shuffled = np.random.default_rng(0).permutation(signals.labels)
    assert baseline_accuracy(replace(signals, labels=shuffled)) < 0.3


def test_features_of_images_are_their_pixels():
    """Small images are their pixels; of 64 x 64 ones, the means of 2 x 2 blocks."""
    digits = load_signals(SignalsConfig(name="digits8", subset=20))
    np.testing.assert_array_equal(features(digits), digits.values.reshape(20, 64))
    large = np.random.default_rng(0).random((3, 2 * MOST_SIDE, MOST_SIDE, 1)).astype(np.float32)
    seen = features(replace(digits.first(3), card=replace(digits.card, grid=large.shape[1:3]), values=large))
    wanted = large.reshape(3, MOST_SIDE, 2, MOST_SIDE, 1).mean(axis=2)
    np.testing.assert_allclose(seen, wanted.reshape(3, -1), rtol=1e-6)


def test_features_of_shapes_mark_voxels_with_inside_points():
    """A voxel is 1 if one of the shape's inside points lies in it, else 0."""
    signals = load_signals(SignalsConfig(name="shapes10", options={"per_class": 3}))
    voxels = features(signals).reshape(-1, VOXELS, VOXELS, VOXELS)
    point = signals.samples.fitted[5, 17].astype(np.float32)
    assert voxels[(5, *((point + 1) / 2 * VOXELS).astype(int))] == 1
    assert 0 < voxels.mean() < 0.5


def test_a_sheet_has_a_row_for_every_class():
    """Ten classes of 8x8 digits make ten rows, zoomed by two, with gaps between."""
    sheet = Image.open(io.BytesIO(class_sheet(load_signals(SignalsConfig(name="digits8", subset=300)))))
    assert sheet.size == (2 * (10 * 8 + 9 * 2), 2 * (10 * 8 + 9 * 2))


def birds(path: Path) -> Path:
    for name in ("hawk", "owl"):
        (path / name).mkdir(parents=True)
        for index in range(6):
            pixels = np.full((8, 8), 20 * index + (name == "owl"), dtype=np.uint8)
            Image.fromarray(pixels).save(path / name / f"{index}.png")
    return path


def test_a_folder_is_checked_by_the_reader_that_fits_it(tmp_path: Path):
    """A folder of images is read as one, and options reach the reader."""
    found = check_location(str(birds(tmp_path)), options={"size": 4})
    assert (found["reader"], found["signals"], found["grid"]) == ("folder", 12, [4, 4])
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
def test_readers_are_told_apart_by_their_files(tmp_path: Path, file: str, reader: str):
    """Each published layout is recognised by its files' names."""
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).touch()
    assert reader_of(str(tmp_path)) == reader


def test_nothing_to_read_is_said(tmp_path: Path):
    """An empty folder names what would be read."""
    with pytest.raises(BadSignals, match=r"holds none of \.parquet"):
        reader_of(str(tmp_path))
    assert (reader_of("a/b.npz"), reader_of("s3://x/b.parquet")) == ("arrays", "parquet")
