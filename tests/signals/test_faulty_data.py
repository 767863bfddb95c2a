"""Tests that faulty data is rejected with a one-line error that names the cause, and never read silently."""

import gzip
import io
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadSignals
from nefstudy.signals.catalog import load_signals
from nefstudy.signals.show import check_location
from nefstudy.signals.signal import Signals
from nefstudy.signals.sources.microimagenet import read_wnids
from nefstudy.signals.sources.occupancy import decode_points, read_list, read_shape

from ..present import present

LOGIN = b"\xef\xbb\xbf<!DOCTYPE html><html><body>Please sign in</body></html>"


def encoded(kind: str, *, seed: int = 0, frames: int = 1) -> bytes:
    rng = np.random.default_rng(seed)
    images = [Image.fromarray(rng.integers(0, 256, (6, 6), dtype=np.uint8)) for _ in range(frames)]
    out = io.BytesIO()
    images[0].save(out, kind, **({"save_all": True, "append_images": images[1:]} if frames > 1 else {}))
    return out.getvalue()


def fill(folder: Path, *classes: str) -> Path:
    for label, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for index in range(4):
            (folder / name / f"x{index}.png").write_bytes(encoded("PNG", seed=10 * label + index))
    return folder


def load(folder: Path | str, source: str = "folder", **options: object) -> Signals:
    return load_signals(SignalsConfig(name=source, options={"path": str(folder), **options}))


def test_dangling_links_are_named(tmp_path: Path):
    """The error for a dangling link names the link and its target, whereas a link to an image is read."""
    fill(tmp_path / "d", "a", "b")
    kept = tmp_path / "kept.png"
    (tmp_path / "d/a/x0.png").rename(kept)
    (tmp_path / "d/a/x0.png").symlink_to(kept)
    assert len(load(tmp_path / "d")) == 8
    for name in ("x1", "x2"):
        (tmp_path / f"d/b/{name}.png").unlink()
        (tmp_path / f"d/b/{name}.png").symlink_to("../.git/annex/absent.png")
    with pytest.raises(BadSignals, match=r"b/x1\.png .*\.\./\.git/annex/absent\.png.*\(2 .*git annex"):
        check_location(str(tmp_path / "d"), options={})


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (encoded("WEBP"), "WebP"),
        (encoded("GIF", frames=2), "GIF"),
        (b"", "empty"),
        (LOGIN, "HTML .*login page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
        (bytes(500), "zeros"),
        (encoded("PNG", frames=2), "animated"),
        (encoded("PNG")[:60], "PNG or JPEG"),
    ],
)
def test_a_wrong_file_type_is_named(tmp_path: Path, data: bytes, says: str):
    """If a .png file contains another type of image, the error names the file and the actual type."""
    fill(tmp_path, "a", "b")
    (tmp_path / "b/x3.png").write_bytes(data)
    with pytest.raises(BadSignals, match=rf"b/x3\.png .*{says}"):
        load(tmp_path)


def test_image_modes_are_converted_or_refused(tmp_path: Path):
    """CMYK images and opaque palettes are converted to RGB; 16-bit and transparent images are rejected."""
    color = Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 6, 3), dtype=np.uint8))
    for mode, suffix in (("CMYK", "jpg"), ("P", "png")):
        fill(tmp_path / mode, "a", "b")
        color.convert(mode).save(tmp_path / mode / "a" / f"y.{suffix}")
        assert len(load(tmp_path / mode, channels=3)) == 9
    for mode, says in (("I;16", "8 bits"), ("RGBA", "transparent")):
        fill(tmp_path / says, "a", "b")
        image = Image.new(mode, (6, 6)) if mode == "RGBA" else Image.fromarray(np.ones((6, 6), dtype=np.uint16))
        image.save(tmp_path / says / "a/y.png")
        with pytest.raises(BadSignals, match=rf"a/y\.png .*{says}"):
            load(tmp_path / says)


def test_files_that_viewers_leave_are_skipped(tmp_path: Path):
    """In a folder of images, the files Thumbs.db, desktop.ini, .DS_Store and ._x.png are ignored."""
    fill(tmp_path, "a", "b")
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "._x0.png"):
        (tmp_path / "a" / name).write_bytes(b"x")
    assert len(load(tmp_path)) == 8


def test_split_folders_are_case_insensitive(tmp_path: Path):
    """Split folders are recognized whether or not their names are capitalized.

    Two spellings of the same split are rejected.
    """
    for part in ("Train", "Test"):
        fill(tmp_path / "d" / part, "a", "b")
    assert load(tmp_path / "d").card.class_names == ("a", "b")
    for part in ("Train", "train", "test"):
        fill(tmp_path / "both" / part, "a", "b")
    with pytest.raises(BadSignals, match=r"'Train' .*'train', .*split"):
        load(tmp_path / "both")


def test_one_name_in_two_unicode_forms_is_one_class(tmp_path: Path):
    """Folders whose names differ only in Unicode normalization are rejected."""
    fill(tmp_path, "a", *(unicodedata.normalize(form, "größe") for form in ("NFC", "NFD")))
    with pytest.raises(BadSignals, match="Unicode"):
        load(tmp_path)


def test_test_images_that_are_in_train_are_counted(tmp_path: Path):
    """Checking a folder of images counts the test images that also occur in the train folder."""
    for part in ("train", "test"):
        fill(tmp_path / part, "a", "b")
    for index in range(3):
        (tmp_path / f"test/b/x{index}.png").write_bytes(encoded("PNG", seed=900 + index))
    row = check_location(str(tmp_path), options={})
    split = present(load(tmp_path).split)  # a tenth of train becomes validation
    assert 8 - 3 - int((split == 1).sum()) <= row["test_signals_in_train"] <= 5


def arrays(path: Path, values: np.ndarray, labels: np.ndarray | None = None) -> Path:
    np.savez(path, values=values, labels=np.arange(len(values)) % 3 if labels is None else labels)
    return path


@pytest.mark.parametrize("shape", [(24, 3, 16, 16), (24, 1, 8, 8), (24, 3, 8, 6), (24, 3, 4, 4)])
def test_channels_that_come_first_are_refused(tmp_path: Path, shape: tuple[int, ...]):
    """Images stored with their channels first are rejected instead of being read as grids of 3 rows."""
    values = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    with pytest.raises(BadSignals, match=r"\[signals, channels, height, width\].*transpose\(0, 2, 3, 1\)"):
        load(arrays(tmp_path / "x.npz", values), "arrays")
    transposed = load(arrays(tmp_path / "y.npz", values.transpose(0, 2, 3, 1)), "arrays")
    assert (transposed.card.grid, transposed.card.channels) == (shape[2:], shape[1])


def test_more_than_four_channels_need_the_option(tmp_path: Path):
    """More than four channels are accepted only if the option `channels` states their number."""
    path = arrays(tmp_path / "x.npz", np.random.default_rng(0).random((24, 8, 8, 7), dtype=np.float32))
    with pytest.raises(BadSignals, match=r"7 channels, .*1 to 4.*channels=7"):
        load(path, "arrays")
    assert load(path, "arrays", channels=7).card.channels == 7
    with pytest.raises(BadSignals, match=r"7 channels, .*5"):
        load(path, "arrays", channels=5)


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (np.arange(24) % 3 + 1, "labels .*1 to 3; .*subtract 1"),
        (np.arange(24) % 3 - 1, "labels .*-1 to 1"),
        (np.arange(24) % 3 * 2, "'1' .*0 signals"),
        ((np.arange(24) % 3).astype(float), r"labels\.astype\(int\)"),
        (np.eye(3, dtype=int)[np.arange(24) % 3], r"one-hot .*labels\.argmax\(axis=1\)"),
    ],
)
def test_labels_of_another_convention_are_refused(tmp_path: Path, labels: np.ndarray, says: str):
    """If labels are not integers counted from 0, the error states a fix.

    Examples are labels from 1, negative labels, labels with gaps, floats and one-hot labels.
    """
    values = np.random.default_rng(0).integers(0, 256, (24, 6, 6), dtype=np.uint8)
    with pytest.raises(BadSignals, match=says):
        load(arrays(tmp_path / "x.npz", values, labels), "arrays")


@pytest.mark.parametrize(
    ("source", "name"),
    [("arrays", "x.npz"), ("parquet", "train.parquet"), ("mnist", "train-images-idx3-ubyte.gz")],
)
@pytest.mark.parametrize("data", [LOGIN, b"", b"version https://git-lfs.github.com/spec/v1"])
def test_a_web_page_under_a_data_files_name_is_identified(tmp_path: Path, source: str, name: str, data: bytes):
    """If a data file is a login page, an empty file or a Git LFS pointer, the error identifies it."""
    (tmp_path / name).write_bytes(data)
    says = "login page" if data == LOGIN else "empty" if not data else "git lfs pull"
    with pytest.raises(BadSignals, match=says):
        load(tmp_path if source == "mnist" else tmp_path / name, source)


def test_gzip_of_something_else_is_identified(tmp_path: Path):
    """If a gzip file contains a web page instead of data, the error states this."""
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(LOGIN))
    with pytest.raises(BadSignals, match="HTML or XML"):
        load(tmp_path, "mnist")


def test_a_hub_folder_without_test_files_is_refused(tmp_path: Path):
    """If a folder of Parquet files has train files but no test files, the error states how to get a drawn split."""
    rows = [{"bytes": encoded("PNG", seed=index), "path": None} for index in range(12)]
    table = pa.table({"image": rows, "label": [index % 2 for index in range(12)]})
    pq.write_table(table, tmp_path / "train-00000-of-00001.parquet")
    with pytest.raises(BadSignals, match=r"train files .*test.*split"):
        load(tmp_path, "parquet")
    (tmp_path / "train-00000-of-00001.parquet").rename(tmp_path / "data.parquet")
    assert len(load(tmp_path, "parquet")) == 12


def test_a_byte_order_mark_is_not_part_of_a_list(tmp_path: Path):
    """A UTF-8 byte order mark at the beginning of a list of names is ignored."""
    (tmp_path / "train.lst").write_text("one\ntwo\n", encoding="utf-8-sig")
    assert read_list(str(tmp_path / "train.lst")) == ["one", "two"]
    (tmp_path / "wnids.txt").write_text("n01 cat\nn02 dog\n", encoding="utf-8-sig")
    assert read_wnids(str(tmp_path / "wnids.txt")) == {"cat": ["n01"], "dog": ["n02"]}
    (tmp_path / "wide.lst").write_text("one\ntwo\n", encoding="utf-16")
    with pytest.raises(BadSignals, match=r"wide\.lst .*UTF-8"):
        read_list(str(tmp_path / "wide.lst"))


def _nan(points: np.ndarray, _bits: np.ndarray) -> None:
    points[3, 1] = np.nan


def _inside(_points: np.ndarray, bits: np.ndarray) -> None:
    bits[:] = 255


def _outside(_points: np.ndarray, bits: np.ndarray) -> None:
    bits[:] = 0


def _far(points: np.ndarray, _bits: np.ndarray) -> None:
    points[0] = 3


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (_nan, "1 points .*NaN"),
        (_inside, "one side .*all inside"),
        (_outside, "one side .*none inside"),
        (_far, "half=3"),
    ],
)
def test_points_of_a_broken_shape_are_refused(tmp_path: Path, harm: Callable[..., None], says: str):
    """Points that are NaN, all on one side, or outside the cube are rejected with different errors."""
    rng = np.random.default_rng(0)
    points = rng.uniform(-0.5, 0.5, (100_000, 3)).astype(np.float16)
    bits = np.packbits((points.astype(float) ** 2).sum(axis=1) < 0.1)
    harm(points, bits)
    (tmp_path / "m").mkdir()
    np.savez(tmp_path / "m/points.npz", points=points, occupancies=bits)
    with pytest.raises(BadSignals, match=says):
        read_shape(str(tmp_path), "m/points.npz", half=0.55)


def test_a_wrong_number_of_bits_is_refused(tmp_path: Path):
    """If the number of occupancies does not match the number of points, the error states both numbers."""
    np.savez(tmp_path / "points.npz", points=np.zeros((80, 3), np.float16), occupancies=np.zeros(7, np.uint8))
    with pytest.raises(BadSignals, match=r"\(80, 3\) .*7 occupancies"):
        decode_points(str(tmp_path / "points.npz"))


def test_an_encrypted_archive_is_refused(tmp_path: Path):
    """An archive with a password-protected member is rejected."""
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("values.npy", b"x")
        archive.writestr("labels.npy", b"x")
    data = bytearray((tmp_path / "x.npz").read_bytes())
    for mark in (b"PK\x03\x04", b"PK\x01\x02"):
        offset = data.find(mark)
        while offset >= 0:
            data[offset + (6 if mark == b"PK\x03\x04" else 8)] |= 1
            offset = data.find(mark, offset + 4)
    (tmp_path / "x.npz").write_bytes(bytes(data))
    with pytest.raises(BadSignals, match=f"{tmp_path}/x.npz .*npz "):
        load(tmp_path / "x.npz", "arrays")


def test_names_of_arrays_are_shown_in_one_line(tmp_path: Path) -> None:
    """An error that lists the arrays of a file is one printable line, whatever the names of the arrays."""
    arrays: dict[str, Any] = {"val\nues\x1b[31m": np.zeros(3), "x" * 5000: np.zeros(3)}
    np.savez(tmp_path / "odd.npz", **arrays)
    config = SignalsConfig(name="arrays", options={"path": str(tmp_path / "odd.npz")})
    with pytest.raises(BadSignals, match=r"values and labels \(.*val\\nues, x") as refused:
        load_signals(config)
    assert len(str(refused.value)) < 1000
    assert str(refused.value).isprintable()
