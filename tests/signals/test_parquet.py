"""Laws of parquet files in the hub's layout: read back bit for bit, or refused by name."""

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

NAMES = ["cat", "dog"]
IMAGE_TYPE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def pixels(count: int, shape: tuple[int, ...] = (6, 5), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG")
    return buffer.getvalue()


def write(path: Path, images: np.ndarray, *, image_name: str = "image", label_name: str = "label", **columns) -> Path:
    """A file as the hub writes it; columns given replace `image` or `label`, or come beside them."""
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


def test_a_single_file_comes_back_bit_for_bit(tmp_path: Path):
    """Pixels, labels and class names are the file's; the split is drawn."""
    signals = by_id(load(write(tmp_path / "all.parquet", pixels(40))))
    np.testing.assert_array_equal(signals.values[..., 0], pixels(40))
    np.testing.assert_array_equal(signals.labels, np.arange(40) % 2)
    assert signals.card.class_names == ("cat", "dog")
    assert set(signals.split) == {0, 1, 2}


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train-0000{}-of-00002.parquet", "test-00000-of-00001.parquet"),
        ("data/train-0000{}-of-00002-1359597a978bc4fa.parquet", "data/test-00000-of-00001-aabbccdd00112233.parquet"),
        ("train/000{}.parquet", "test/0000.parquet"),
    ],
)
def test_files_say_their_split(tmp_path: Path, train: str, test: str):
    """Shards of train and test are read in order, by file name or by folder; a tenth of train validates."""
    write(tmp_path / train.format(0), pixels(20, (4, 4, 3), seed=1))
    write(tmp_path / train.format(1), pixels(20, (4, 4, 3), seed=2))
    write(tmp_path / test, pixels(10, (4, 4, 3), seed=3))
    (tmp_path / "README.md").write_text("card")
    signals = by_id(load(tmp_path))
    shards = [pixels(10, (4, 4, 3), seed=3), pixels(20, (4, 4, 3), seed=1), pixels(20, (4, 4, 3), seed=2)]
    np.testing.assert_array_equal(signals.values, np.concatenate(shards))
    np.testing.assert_array_equal(np.bincount(signals.split), [36, 4, 10])
    assert (signals.split[:10] == 2).all()


def test_a_name_that_only_begins_like_a_split_names_none(tmp_path: Path):
    """trainable.parquet names no split: its images are split by drawing."""
    write(tmp_path / "trainable.parquet", pixels(40))
    assert set(load(tmp_path).split) == {0, 1, 2}


def test_cifars_columns_are_found(tmp_path: Path):
    """An image column called img is found, other columns are left alone; cifar10 reads parquet as well."""
    write(tmp_path / "train-00000-of-00001.parquet", pixels(40, (4, 4, 3)), image_name="img", extra=pa.array([0] * 40))
    write(tmp_path / "test-00000-of-00001.parquet", pixels(10, (4, 4, 3)), image_name="img", extra=pa.array([0] * 10))
    np.testing.assert_array_equal(by_id(load(tmp_path, name="cifar10")).values[:10], pixels(10, (4, 4, 3)))


def test_mnist_in_parquet_is_split_as_in_idx(tmp_path: Path):
    """The mnist source takes a twelfth of train to validate, whatever the files."""
    write(tmp_path / "train-00000-of-00001.parquet", pixels(120))
    write(tmp_path / "test-00000-of-00001.parquet", pixels(10))
    np.testing.assert_array_equal(np.bincount(load(tmp_path, name="mnist").split), [110, 10, 10])


def test_columns_may_be_named(tmp_path: Path):
    """Options say which columns hold images and labels, and class names follow the label."""
    path = write(tmp_path / "all.parquet", pixels(40), image_name="picture", label_name="coarse")
    assert load(path, image="picture", label="coarse").card.class_names == ("cat", "dog")


def test_a_validation_file_may_be_tested_on(tmp_path: Path):
    """Where test labels are withheld, `test=valid` tests on validation and leaves the test file out."""
    write(tmp_path / "train-00000-of-00001.parquet", pixels(40))
    write(tmp_path / "valid-00000-of-00001.parquet", pixels(10))
    write(tmp_path / "test-00000-of-00001.parquet", pixels(8), label_name="withheld")
    np.testing.assert_array_equal(np.bincount(load(tmp_path, test="valid").split), [36, 4, 10])


def test_grey_among_colour_is_converted_on_request(tmp_path: Path):
    """Images of both kinds, as in Tiny ImageNet, agree with channels=3."""
    path = tmp_path / "all.parquet"
    mixed = [{"bytes": png(image), "path": None} for image in [*pixels(10), *pixels(10, (6, 5, 3))]]
    write(path, pixels(20), image=pa.array(mixed, IMAGE_TYPE))
    with pytest.raises(BadSignals, match=r"all.parquet row 10 is colour but all.parquet row 0 is grey; .* channels=1"):
        load(path)
    assert load(path, channels=3).card.channels == 3


def test_without_metadata_classes_are_numbered(tmp_path: Path):
    """A file written by other tools needs no metadata."""
    path = write(tmp_path / "all.parquet", pixels(40))
    pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)
    assert load(path).card.class_names == ("0", "1")


def test_a_file_uri_reads_like_its_path(tmp_path: Path):
    """A file:// URI of a folder gives the content of the folder."""
    write(tmp_path / "train.parquet", pixels(40))
    write(tmp_path / "test.parquet", pixels(10))
    assert load(tmp_path.as_uri()).card.content_hash == load(tmp_path).card.content_hash


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"label": pa.array(["cat", "dog"] * 20)}, r"labels are string \('cat'\); give option label=NAME"),
        ({"label": pa.array([0.0, 1.0] * 20)}, r"labels are double"),
        ({"label": pa.array([0, None] * 20)}, "20 labels are missing"),
        ({"label": pa.array([0, -1] * 20)}, "label -1 marks a withheld one; give option test=valid"),
        ({"label": pa.array([0, 5] * 20)}, "labels run from 0 to 5; allowed are 0 to 1"),
        ({"image": pa.array([b"x"] * 40)}, "column 'image' is binary, not a struct of bytes and path"),
        ({"image": pa.array(["a.png"] * 40)}, "column 'image' is string"),
        ({"image": pa.array([{"bytes": b"x", "path": ""}] * 40, IMAGE_TYPE)}, "row 0 is no readable PNG or JPEG"),
        ({"image": pa.array([{"bytes": None, "path": "a"}] * 40, IMAGE_TYPE)}, "row 0 holds no image bytes; embed"),
        ({"image": pa.array([None] * 40, IMAGE_TYPE)}, "row 0 holds no image bytes; embed"),
    ],
)
def test_unfit_columns_are_refused(tmp_path: Path, columns: dict, message: str):
    """Text, withheld or foreign labels and columns that hold no images are named with the file."""
    path = write(tmp_path / "all.parquet", pixels(40), **columns)
    with pytest.raises(BadSignals, match=message) as refused:
        load(path)
    assert "all.parquet" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_missing_columns_are_refused(tmp_path: Path):
    """A file without the columns says which it has."""
    path = write(tmp_path / "all.parquet", pixels(40), image_name="picture")
    with pytest.raises(BadSignals, match=r"has no column 'image' \(it has picture, label\); give option image=NAME"):
        load(path)
    with pytest.raises(BadSignals, match="has no column 'fine'"):
        load(path, image="picture", label="fine")


@pytest.mark.parametrize("metadata", [b"{", b"{}", b"[]", b'{"info": {"features": {"image": {}}}}'])
def test_broken_metadata_is_refused(tmp_path: Path, metadata: bytes):
    """Metadata that does not describe the label column is named, not guessed around."""
    path = write(tmp_path / "all.parquet", pixels(40))
    pq.write_table(pq.read_table(path).replace_schema_metadata({"huggingface": metadata}), path)
    with pytest.raises(BadSignals, match="huggingface metadata does not describe 'label'"):
        load(path)


def test_every_truncation_is_refused(tmp_path: Path):
    """A file cut anywhere is refused by name."""
    data = write(tmp_path / "all.parquet", pixels(40)).read_bytes()
    for length in range(0, len(data), max(1, len(data) // 40)):
        path = tmp_path / f"{length}.parquet"
        path.write_bytes(data[:length])
        with pytest.raises(BadSignals, match=f"{length}.parquet is no whole parquet file"):
            load(path)


def test_folders_that_do_not_say_are_refused(tmp_path: Path):
    """No parquet at all, files of which only some name a split, and no train are refused."""
    with pytest.raises(BadSignals, match=r"holds no .parquet file"):
        load(tmp_path)
    write(tmp_path / "test.parquet", pixels(10))
    with pytest.raises(BadSignals, match="holds test files only, and no train files"):
        load(tmp_path)
    write(tmp_path / "more.parquet", pixels(10))
    with pytest.raises(BadSignals, match=r"more.parquet names no split as the other files do"):
        load(f"{tmp_path}/")
    with pytest.raises(BadSignals, match="does not exist"):
        load(tmp_path / "nowhere")


def test_the_tested_part_must_exist_as_a_word():
    """test=train and unknown words are refused."""
    with pytest.raises(BadConfig, match="option 'test' is 'train'; give test, val"):
        load("anywhere.parquet", test="train")
