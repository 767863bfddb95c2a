"""Laws of data that is not what it seems: refused in one line that names the cause, never read silently."""

import gzip
import io
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadSignals
from nefstudy.signals.catalog import load_signals
from nefstudy.signals.microimagenet import read_wnids
from nefstudy.signals.occupancy import decode_points, read_list, read_shape
from nefstudy.signals.show import check_location
from nefstudy.signals.signal import Signals

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
    """A link to nothing is not left out; a link to a picture is read."""
    fill(tmp_path / "d", "a", "b")
    kept = tmp_path / "kept.png"
    (tmp_path / "d/a/x0.png").rename(kept)
    (tmp_path / "d/a/x0.png").symlink_to(kept)
    assert len(load(tmp_path / "d")) == 8
    for name in ("x1", "x2"):
        (tmp_path / f"d/b/{name}.png").unlink()
        (tmp_path / f"d/b/{name}.png").symlink_to("../.git/annex/absent.png")
    with pytest.raises(BadSignals, match=r"b/x1\.png is a link to \.\./\.git/annex/absent\.png.*2 such.*git annex"):
        check_location(str(tmp_path / "d"), options={})


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (encoded("WEBP"), "it is a WebP image"),
        (encoded("GIF", frames=2), "it is a GIF image"),
        (b"", "it is empty"),
        (LOGIN, "it is an HTML or XML page, such as a login page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "it is a Git LFS pointer; run git lfs pull"),
        (bytes(500), "it is all zeros"),
        (encoded("PNG", frames=2), "is animated"),
        (encoded("PNG")[:60], "is no readable PNG or JPEG"),
    ],
)
def test_a_picture_of_another_kind_is_called_by_it(tmp_path: Path, data: bytes, says: str):
    """What a .png really is stands in the line, behind its name."""
    fill(tmp_path, "a", "b")
    (tmp_path / "b/x3.png").write_bytes(data)
    with pytest.raises(BadSignals, match=rf"b/x3\.png .*{says}"):
        load(tmp_path)


def test_modes_of_pictures_are_converted_or_refused(tmp_path: Path):
    """CMYK and opaque palettes become RGB; sixteen bits and transparency are refused by name."""
    colour = Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 6, 3), dtype=np.uint8))
    for mode, suffix in (("CMYK", "jpg"), ("P", "png")):
        fill(tmp_path / mode, "a", "b")
        colour.convert(mode).save(tmp_path / mode / "a" / f"y.{suffix}")
        assert len(load(tmp_path / mode, channels=3)) == 9
    for mode, says in (("I;16", "more than 8 bits"), ("RGBA", "partly transparent")):
        fill(tmp_path / says, "a", "b")
        image = Image.new(mode, (6, 6)) if mode == "RGBA" else Image.fromarray(np.ones((6, 6), dtype=np.uint16))
        image.save(tmp_path / says / "a/y.png")
        with pytest.raises(BadSignals, match=rf"a/y\.png .*{says}"):
            load(tmp_path / says)


def test_files_that_viewers_leave_are_skipped(tmp_path: Path):
    """Thumbs.db, desktop.ini, .DS_Store and ._x.png are not pictures."""
    fill(tmp_path, "a", "b")
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "._x0.png"):
        (tmp_path / "a" / name).write_bytes(b"x")
    assert len(load(tmp_path)) == 8


def test_split_folders_count_in_any_case(tmp_path: Path):
    """Train/Test is a split; both spellings together are refused."""
    for part in ("Train", "Test"):
        fill(tmp_path / "d" / part, "a", "b")
    assert load(tmp_path / "d").card.class_names == ("a", "b")
    for part in ("Train", "train", "test"):
        fill(tmp_path / "both" / part, "a", "b")
    with pytest.raises(BadSignals, match="holds 'Train' and 'train', one split"):
        load(tmp_path / "both")


def test_one_name_in_two_unicode_forms_is_one_class(tmp_path: Path):
    """Folders whose names look alike are not two classes."""
    fill(tmp_path, "a", *(unicodedata.normalize(form, "größe") for form in ("NFC", "NFD")))
    with pytest.raises(BadSignals, match="one name in two Unicode forms"):
        load(tmp_path)


def test_test_pictures_that_train_are_counted(tmp_path: Path):
    """A picture that is in train and test is counted."""
    for part in ("train", "test"):
        fill(tmp_path / part, "a", "b")
    for index in range(3):
        (tmp_path / f"test/b/x{index}.png").write_bytes(encoded("PNG", seed=900 + index))
    found = check_location(str(tmp_path), options={})
    trained = load(tmp_path).split  # a tenth of train validates
    assert 8 - 3 - int((trained == 1).sum()) <= found["test_signals_in_train"] <= 5


def arrays(path: Path, values: np.ndarray, labels: np.ndarray | None = None) -> Path:
    np.savez(path, values=values, labels=np.arange(len(values)) % 3 if labels is None else labels)
    return path


@pytest.mark.parametrize("shape", [(24, 3, 16, 16), (24, 1, 8, 8), (24, 3, 8, 6), (24, 3, 4, 4)])
def test_channels_that_come_first_are_refused(tmp_path: Path, shape: tuple[int, ...]):
    """Neither a grid of 3 rows nor 16 channels is read from pictures stored channels first."""
    values = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    with pytest.raises(BadSignals, match=r"looks like \[signals, channels, height, width\].*transpose\(0, 2, 3, 1\)"):
        load(arrays(tmp_path / "x.npz", values), "arrays")
    turned = load(arrays(tmp_path / "y.npz", values.transpose(0, 2, 3, 1)), "arrays")
    assert (turned.card.grid, turned.card.channels) == (shape[2:], shape[1])


def test_more_than_four_channels_are_asked_for(tmp_path: Path):
    """A volume is not read as channels unless that is stated; a wrong number is refused."""
    path = arrays(tmp_path / "x.npz", np.random.default_rng(0).random((24, 8, 8, 7), dtype=np.float32))
    with pytest.raises(BadSignals, match=r"7 channels; pictures have 1 to 4.*option channels=7"):
        load(path, "arrays")
    assert load(path, "arrays", channels=7).card.channels == 7
    with pytest.raises(BadSignals, match="so 7 channels, not 5"):
        load(path, "arrays", channels=5)


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (np.arange(24) % 3 + 1, "labels run from 1 to 3; subtract 1"),
        (np.arange(24) % 3 - 1, "labels run from -1 to 1"),
        (np.arange(24) % 3 * 2, "class '1' has 0 signals"),
        ((np.arange(24) % 3).astype(float), r"labels\.astype\(int\)"),
        (np.eye(3, dtype=int)[np.arange(24) % 3], r"one-hot ones; store labels\.argmax\(axis=1\)"),
    ],
)
def test_labels_of_another_convention_are_named(tmp_path: Path, labels: np.ndarray, says: str):
    """From 1, negative, with gaps, floats, one-hot: each with what to do."""
    values = np.random.default_rng(0).integers(0, 256, (24, 6, 6), dtype=np.uint8)
    with pytest.raises(BadSignals, match=says):
        load(arrays(tmp_path / "x.npz", values, labels), "arrays")


@pytest.mark.parametrize(
    ("source", "name"),
    [("arrays", "x.npz"), ("parquet", "train.parquet"), ("mnist", "train-images-idx3-ubyte.gz")],
)
@pytest.mark.parametrize("data", [LOGIN, b"", b"version https://git-lfs.github.com/spec/v1"])
def test_a_page_under_a_data_files_name_is_called_one(tmp_path: Path, source: str, name: str, data: bytes):
    """A login page, an empty file and a pointer are named for what they are."""
    (tmp_path / name).write_bytes(data)
    says = "login page" if data == LOGIN else "empty" if not data else "git lfs pull"
    with pytest.raises(BadSignals, match=says):
        load(tmp_path if source == "mnist" else tmp_path / name, source)


def test_gzip_of_something_else_is_named(tmp_path: Path):
    """A gzipped page is neither images nor labels."""
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(LOGIN))
    with pytest.raises(BadSignals, match="it is an HTML or XML page"):
        load(tmp_path, "mnist")


def test_a_hub_folder_without_test_files_says_so(tmp_path: Path):
    """Only train files: what is missing, and how to have a split drawn."""
    rows = [{"bytes": encoded("PNG", seed=index), "path": None} for index in range(12)]
    table = pa.table({"image": rows, "label": [index % 2 for index in range(12)]})
    pq.write_table(table, tmp_path / "train-00000-of-00001.parquet")
    with pytest.raises(BadSignals, match=r"holds train files only, and no files to test on; .* name no split"):
        load(tmp_path, "parquet")
    (tmp_path / "train-00000-of-00001.parquet").rename(tmp_path / "data.parquet")
    assert len(load(tmp_path, "parquet")) == 12


def test_a_byte_order_mark_is_not_part_of_a_list(tmp_path: Path):
    """Lists written by an editor that marks them name the same models and wnids."""
    (tmp_path / "train.lst").write_text("one\ntwo\n", encoding="utf-8-sig")
    assert read_list(str(tmp_path / "train.lst")) == ["one", "two"]
    (tmp_path / "wnids.txt").write_text("n01 cat\nn02 dog\n", encoding="utf-8-sig")
    assert read_wnids(str(tmp_path / "wnids.txt")) == {"cat": ["n01"], "dog": ["n02"]}
    (tmp_path / "wide.lst").write_text("one\ntwo\n", encoding="utf-16")
    with pytest.raises(BadSignals, match="is no text"):
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
        (_nan, "has 1 points that are NaN or infinite"),
        (_inside, "one side of the surface only, all inside"),
        (_outside, "one side of the surface only, none inside"),
        (_far, "give option half=3"),
    ],
)
def test_points_of_a_broken_shape_are_named(tmp_path: Path, harm: Callable[..., None], says: str):
    """NaN, one side only, outside the cube: each has a sentence of its own."""
    rng = np.random.default_rng(0)
    points = rng.uniform(-0.5, 0.5, (100_000, 3)).astype(np.float16)
    bits = np.packbits((points.astype(float) ** 2).sum(axis=1) < 0.1)
    harm(points, bits)
    (tmp_path / "m").mkdir()
    np.savez(tmp_path / "m/points.npz", points=points, occupancies=bits)
    with pytest.raises(BadSignals, match=says):
        read_shape(str(tmp_path), "m/points.npz", half=0.55)


def test_bits_of_another_count_are_refused(tmp_path: Path):
    """Occupancies that are not one a point are refused with both numbers."""
    np.savez(tmp_path / "points.npz", points=np.zeros((80, 3), np.float16), occupancies=np.zeros(7, np.uint8))
    with pytest.raises(BadSignals, match=r"\(80, 3\) for 7 occupancies"):
        decode_points(str(tmp_path / "points.npz"))


def test_an_encrypted_archive_is_refused(tmp_path: Path):
    """A member that asks for a password is not a plain array."""
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("values.npy", b"x")
        archive.writestr("labels.npy", b"x")
    data = bytearray((tmp_path / "x.npz").read_bytes())
    for mark in (b"PK\x03\x04", b"PK\x01\x02"):
        place = data.find(mark)
        while place >= 0:
            data[place + (6 if mark == b"PK\x03\x04" else 8)] |= 1
            place = data.find(mark, place + 4)
    (tmp_path / "x.npz").write_bytes(bytes(data))
    with pytest.raises(BadSignals, match="cannot be read as npz"):
        load(tmp_path / "x.npz", "arrays")


def test_names_of_arrays_are_shown_in_one_line(tmp_path: Path) -> None:
    """An error that lists what a file holds stays one line, whatever names a damaged archive gives its arrays."""
    np.savez(tmp_path / "odd.npz", **{"val\nues\x1b[31m": np.zeros(3), "x" * 5000: np.zeros(3)})
    config = SignalsConfig(name="arrays", options={"path": str(tmp_path / "odd.npz")})
    with pytest.raises(BadSignals, match=r"lacks values and labels \(it holds val\\nues, x") as refused:
        load_signals(config)
    assert len(str(refused.value)) < 1000
    assert str(refused.value).isprintable()
