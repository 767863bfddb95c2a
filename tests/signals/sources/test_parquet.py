"""Tests of Parquet files in the Hugging Face Hub's layout: they are read exactly, and invalid files are rejected."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadConfig, BadSignals
from nefstudy.signals.catalog import load_signals
from nefstudy.signals.signal import Signals

from ...present import present

NAMES = ["cat", "dog"]
IMAGE_TYPE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def pixels(count: int, shape: tuple[int, ...] = (6, 5), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG")
    return buffer.getvalue()


def write(path: Path, images: np.ndarray, *, image_name: str = "image", label_name: str = "label", **columns) -> Path:
    """Write a file in the Hub's layout with an image and a label column; `columns` replace or extend these two."""
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded = [{"bytes": png(pixel), "path": f"{row}.png"} for row, pixel in enumerate(images)]
    data = {
        image_name: pa.array(encoded, IMAGE_TYPE),
        label_name: pa.array(np.arange(len(images)) % 2, pa.int64()),
        **columns,
    }
    features = {image_name: {"_type": "Image"}, label_name: {"names": NAMES, "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(pa.table(data).replace_schema_metadata(metadata), path)
    return path


def load(path: Path | str, *, name: str = "parquet", **options) -> Signals:
    return load_signals(SignalsConfig(name=name, options={"path": str(path), **options}))


def by_id(signals: Signals) -> Signals:
    return signals.select(np.argsort(signals.ids))


def test_a_single_file_is_read_bit_for_bit(tmp_path: Path):
    """A single Parquet file is read bit for bit, and a split is drawn for it."""
    signals = by_id(load(write(tmp_path / "all.parquet", pixels(40))))
    np.testing.assert_array_equal(signals.values[..., 0], pixels(40))
    np.testing.assert_array_equal(signals.labels, np.arange(40) % 2)
    assert signals.card.class_names == ("cat", "dog")
    assert set(present(signals.split)) == {0, 1, 2}


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train-0000{}-of-00002.parquet", "test-00000-of-00001.parquet"),
        ("data/train-0000{}-of-00002-1359597a978bc4fa.parquet", "data/test-00000-of-00001-aabbccdd00112233.parquet"),
        ("train/000{}.parquet", "test/0000.parquet"),
    ],
)
def test_file_and_folder_names_define_the_split(tmp_path: Path, train: str, test: str):
    """The names of files and folders define the split.

    Shards are read in path order, and a tenth of train becomes validation.
    """
    write(tmp_path / train.format(0), pixels(20, (4, 4, 3), seed=1))
    write(tmp_path / train.format(1), pixels(20, (4, 4, 3), seed=2))
    write(tmp_path / test, pixels(10, (4, 4, 3), seed=3))
    (tmp_path / "README.md").write_text("card")
    signals = by_id(load(tmp_path))
    shards = [pixels(10, (4, 4, 3), seed=3), pixels(20, (4, 4, 3), seed=1), pixels(20, (4, 4, 3), seed=2)]
    np.testing.assert_array_equal(signals.values, np.concatenate(shards))
    np.testing.assert_array_equal(np.bincount(present(signals.split)), [36, 4, 10])
    assert (present(signals.split)[:10] == 2).all()


def test_a_name_that_only_begins_like_a_split_has_none(tmp_path: Path):
    """A file named trainable.parquet is not a training split, so a split is drawn for its images."""
    write(tmp_path / "trainable.parquet", pixels(40))
    assert set(present(load(tmp_path).split)) == {0, 1, 2}


def test_cifars_columns_are_read(tmp_path: Path):
    """The source `cifar10` reads Parquet files with an image column named img and ignores other columns."""
    write(tmp_path / "train-00000-of-00001.parquet", pixels(40, (4, 4, 3)), image_name="img", extra=pa.array([0] * 40))
    write(tmp_path / "test-00000-of-00001.parquet", pixels(10, (4, 4, 3)), image_name="img", extra=pa.array([0] * 10))
    np.testing.assert_array_equal(by_id(load(tmp_path, name="cifar10")).values[:10], pixels(10, (4, 4, 3)))


def test_mnist_in_parquet_is_split_as_in_idx(tmp_path: Path):
    """For Parquet files too, the source `mnist` moves a twelfth of the training split to the validation split."""
    write(tmp_path / "train-00000-of-00001.parquet", pixels(120))
    write(tmp_path / "test-00000-of-00001.parquet", pixels(10))
    np.testing.assert_array_equal(np.bincount(present(load(tmp_path, name="mnist").split)), [110, 10, 10])


def test_columns_can_be_named(tmp_path: Path):
    """The options `image` and `label` select the columns of images and labels.

    The selected label column provides the class names.
    """
    path = write(tmp_path / "all.parquet", pixels(40), image_name="picture", label_name="coarse")
    assert load(path, image="picture", label="coarse").card.class_names == ("cat", "dog")


def test_a_validation_file_can_be_the_test_split(tmp_path: Path):
    """With `test=valid`, the validation files become the test split and the test files are ignored."""
    write(tmp_path / "train-00000-of-00001.parquet", pixels(40))
    write(tmp_path / "valid-00000-of-00001.parquet", pixels(10))
    write(tmp_path / "test-00000-of-00001.parquet", pixels(8), label_name="withheld")
    np.testing.assert_array_equal(np.bincount(present(load(tmp_path, test="valid").split)), [36, 4, 10])


def test_gray_among_color_is_converted_on_request(tmp_path: Path):
    """A mixture of gray and color images, as in Tiny ImageNet, can be read with channels=3."""
    path = tmp_path / "all.parquet"
    mixed = [{"bytes": png(image), "path": None} for image in [*pixels(10), *pixels(10, (6, 5, 3))]]
    write(path, pixels(20), image=pa.array(mixed, IMAGE_TYPE))
    with pytest.raises(BadSignals, match=r"all.parquet row 10 .*color .*all.parquet row 0 .*gray; .*channels=1"):
        load(path)
    assert load(path, channels=3).card.channels == 3


def test_without_metadata_classes_are_numbered(tmp_path: Path):
    """In files without the Hugging Face Hub's metadata, classes are named by number."""
    path = write(tmp_path / "all.parquet", pixels(40))
    pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)
    assert load(path).card.class_names == ("0", "1")


def test_a_file_uri_equals_its_path(tmp_path: Path):
    """A file:// URI of a folder gives the same content as the path."""
    write(tmp_path / "train.parquet", pixels(40))
    write(tmp_path / "test.parquet", pixels(10))
    assert load(tmp_path.as_uri()).card.content_hash == load(tmp_path).card.content_hash


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"label": pa.array(["cat", "dog"] * 20)}, r"string \('cat'\); .*label=NAME"),
        ({"label": pa.array([0.0, 1.0] * 20)}, "labels .*double"),
        ({"label": pa.array([0, None] * 20)}, "20 labels"),
        ({"label": pa.array([0, -1] * 20)}, "label -1 .*test=valid"),
        ({"label": pa.array([0, 5] * 20)}, "labels .*0 to 5; .*0 to 1"),
        ({"image": pa.array([b"x"] * 40)}, "'image' .*binary, .*bytes and path"),
        ({"image": pa.array(["a.png"] * 40)}, "'image' .*string"),
        ({"image": pa.array([{"bytes": b"x", "path": ""}] * 40, IMAGE_TYPE)}, "row 0 .*PNG or JPEG"),
        ({"image": pa.array([{"bytes": None, "path": "a"}] * 40, IMAGE_TYPE)}, "row 0 .*image bytes"),
        ({"image": pa.array([None] * 40, IMAGE_TYPE)}, "row 0 .*image bytes"),
    ],
)
def test_invalid_columns_are_refused(tmp_path: Path, columns: dict, message: str):
    """A column with invalid labels or without images is rejected with an error that names the file."""
    path = write(tmp_path / "all.parquet", pixels(40), **columns)
    with pytest.raises(BadSignals, match=message) as refused:
        load(path)
    assert "all.parquet" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_missing_columns_are_refused(tmp_path: Path):
    """The error about a missing column lists the file's columns."""
    path = write(tmp_path / "all.parquet", pixels(40), image_name="picture")
    with pytest.raises(BadSignals, match=r"'image' \(.*picture, label\); .*image=NAME"):
        load(path)
    with pytest.raises(BadSignals, match="column 'fine'"):
        load(path, image="picture", label="fine")


@pytest.mark.parametrize("metadata", [b"{", b"{}", b"[]", b'{"info": {"features": {"image": {}}}}'])
def test_broken_metadata_is_refused(tmp_path: Path, metadata: bytes):
    """Metadata that does not describe the label column is rejected instead of ignored."""
    path = write(tmp_path / "all.parquet", pixels(40))
    pq.write_table(pq.read_table(path).replace_schema_metadata({"huggingface": metadata}), path)
    with pytest.raises(BadSignals, match=r"huggingface .*'label'"):
        load(path)


def test_every_truncation_is_refused(tmp_path: Path):
    """A file truncated at any position is rejected with an error that names it."""
    data = write(tmp_path / "all.parquet", pixels(40)).read_bytes()
    for length in range(0, len(data), max(1, len(data) // 40)):
        path = tmp_path / f"{length}.parquet"
        path.write_bytes(data[:length])
        with pytest.raises(BadSignals, match=f"/{length}.parquet .*parquet "):
            load(path)


def test_folders_with_an_unclear_split_are_refused(tmp_path: Path):
    """A folder is rejected if its files do not define a split.

    Examples are a folder without Parquet files or train files, and one where only some files name a split.
    """
    with pytest.raises(BadSignals, match=r"no \.parquet"):
        load(tmp_path)
    write(tmp_path / "test.parquet", pixels(10))
    with pytest.raises(BadSignals, match=r"test files .*train files"):
        load(tmp_path)
    write(tmp_path / "more.parquet", pixels(10))
    with pytest.raises(BadSignals, match=r"more.parquet .*split"):
        load(f"{tmp_path}/")
    with pytest.raises(BadSignals, match=f"{tmp_path}/nowhere .*exist"):
        load(tmp_path / "nowhere")


def test_the_test_option_must_be_a_test_or_validation_split():
    """The option test=train is rejected."""
    with pytest.raises(BadConfig, match=r"'test' .*'train'; .*test, val"):
        load("anywhere.parquet", test="train")
