"""Laws of image folders: what lies there is what is read, or one line says what to mend."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadConfig, BadSignals
from nefstudy.signals.catalog import load_signals
from nefstudy.signals.signal import SPLITS, Signals


def pixels(seed: int, shape: tuple[int, ...] = (6, 5)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def fill(folder: Path, classes: dict[str, int], *, shape: tuple[int, ...] = (6, 5)) -> Path:
    """Classes of PNG images; image i of any class is `pixels(i)`."""
    for name, count in classes.items():
        (folder / name).mkdir(parents=True)
        for index in range(count):
            Image.fromarray(pixels(index, shape)).save(folder / name / f"{index:03}.png")
    return folder


def load(folder: Path | str, **options) -> Signals:
    return load_signals(SignalsConfig(name="folder", options={"path": str(folder), **options}))


def test_classes_are_the_subfolders_in_alphabetical_order(tmp_path: Path):
    """Class names, labels and pixels are those of the files, found by id in path order."""
    signals = load(fill(tmp_path, {"dog": 5, "cat": 4}))
    assert signals.card.class_names == ("cat", "dog")
    assert (signals.card.grid, signals.card.channels) == ((6, 5), 1)
    by_id = signals.select(np.argsort(signals.ids))
    np.testing.assert_array_equal(by_id.labels, [0] * 4 + [1] * 5)
    np.testing.assert_array_equal(by_id.values[6, ..., 0], pixels(2))


def test_colour_folders_have_three_channels(tmp_path: Path):
    """Colour images are read with their three channels."""
    signals = load(fill(tmp_path, {"a": 3, "b": 3}, shape=(6, 5, 3)))
    np.testing.assert_array_equal(signals.values[signals.ids == 5][0], pixels(2, (6, 5, 3)))


def test_suffixes_count_in_any_case_and_hidden_files_do_not(tmp_path: Path):
    """.PNG and .jpeg are images; .DS_Store and a README beside the classes are none."""
    fill(tmp_path, {"a": 3, "b": 3})
    Image.fromarray(pixels(9)).save(tmp_path / "a" / "x.PNG")
    Image.fromarray(pixels(9)).save(tmp_path / "b" / "y.jpeg")
    (tmp_path / "a" / ".DS_Store").write_bytes(b"finder")
    (tmp_path / "README.txt").write_text("two classes")
    assert len(load(tmp_path)) == 8


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_a_layer_of_split_folders_is_the_split(tmp_path: Path, name: str):
    """train, val and test folders hold the split."""
    for part, count in {"train": 5, name: 2, "test": 3}.items():
        fill(tmp_path / part, {"a": count, "b": count})
    signals = load(tmp_path)
    np.testing.assert_array_equal(np.bincount(signals.split), [10, 4, 6])
    assert signals.card.class_names == ("a", "b")


def test_without_a_validation_folder_a_tenth_of_train_validates(tmp_path: Path):
    """Validation comes out of train, test is untouched."""
    for part, count in {"train": 20, "test": 3}.items():
        fill(tmp_path / part, {"a": count, "b": count})
    signals = load(tmp_path)
    np.testing.assert_array_equal(np.bincount(signals.split), [36, 4, 6])
    assert sorted(signals.labels[signals.split == SPLITS["val"]]) == [0, 0, 1, 1]


def test_classes_may_be_called_like_splits(tmp_path: Path):
    """A class folder named test is a class where images lie directly in the class folders."""
    assert load(fill(tmp_path, {"test": 3, "trial": 3})).card.class_names == ("test", "trial")


def test_mixed_sizes_and_kinds_agree_after_conversion(tmp_path: Path):
    """size and channels make any folder uniform."""
    fill(tmp_path, {"a": 3, "b": 3})
    Image.fromarray(pixels(1, (40, 90, 3))).save(tmp_path / "a" / "wide.jpg")
    signals = load(tmp_path, size=4, channels=3)
    assert signals.values.shape == (7, 4, 4, 3)


def test_a_file_uri_reads_like_its_path(tmp_path: Path):
    """A file:// URI gives the same content as the plain path."""
    fill(tmp_path, {"a": 3, "b": 3})
    assert load(tmp_path.as_uri()).card.content_hash == load(tmp_path).card.content_hash


def _text_in_class(folder: Path) -> None:
    (folder / "a" / "notes.txt").write_text("labels to come")


def _no_image(folder: Path) -> None:
    (folder / "b" / "001.png").write_bytes(b"<html>not found</html>")


def _truncated(folder: Path) -> None:
    data = (folder / "b" / "002.png").read_bytes()
    (folder / "b" / "002.png").write_bytes(data[: len(data) // 2])


def _empty_file(folder: Path) -> None:
    (folder / "b" / "000.png").write_bytes(b"")


def _other_size(folder: Path) -> None:
    Image.fromarray(pixels(0, (7, 7))).save(folder / "b" / "big.png")


def _grey_among_colour(folder: Path) -> None:
    Image.fromarray(pixels(0, (6, 5, 3))).save(folder / "b" / "red.png")


def _single(folder: Path) -> None:
    fill(folder, {"rare": 1})


def _empty_class(folder: Path) -> None:
    (folder / "later").mkdir()


def _beside_classes(folder: Path) -> None:
    Image.fromarray(pixels(0)).save(folder / "stray.png")


def _too_deep(folder: Path) -> None:
    fill(folder / "a", {"kittens": 3})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_text_in_class, "a/notes.txt is no PNG or JPEG; convert or remove it"),
        (_no_image, "b/001.png is no readable PNG or JPEG .* replace or remove it"),
        (_truncated, "b/002.png is no readable PNG or JPEG"),
        (_empty_file, "b/000.png is no readable PNG or JPEG"),
        (_other_size, "b/big.png is 7x7 but a/000.png is 5x6; .* option size=N"),
        (_grey_among_colour, "b/red.png is colour but a/000.png is grey; .* option channels=1"),
        (_single, "class 'rare' has 1 signal; a split needs 3 of each class"),
        (_empty_class, "folder later is empty"),
        (_beside_classes, "stray.png is not at CLASS/image.png; move or remove it"),
        (_too_deep, "a/kittens/000.png is not at CLASS/image.png"),
    ],
)
def test_a_spoilt_folder_is_refused_on_one_line(tmp_path: Path, spoil, message: str):
    """Each way a folder can be wrong names the file and the fix, before anything is fitted."""
    fill(tmp_path, {"a": 4, "b": 4})
    assert len(load(tmp_path)) == 8
    spoil(tmp_path)
    with pytest.raises(BadSignals, match=message) as refused:
        _fresh(tmp_path)
    assert "\n" not in str(refused.value)


def _fresh(folder: Path) -> Signals:
    """Loads past the cache: another spelling of the same path."""
    return load(f"{folder}/.")


def test_several_problems_are_told_at_once(tmp_path: Path):
    """All unreadable files are named in one report."""
    fill(tmp_path, {"a": 4, "b": 4})
    _no_image(tmp_path)
    _truncated(tmp_path)
    with pytest.raises(BadSignals, match=r"b/001.png .*; b/002.png "):
        load(tmp_path)


def test_folders_without_images_are_refused(tmp_path: Path):
    """A missing, an empty and a text-only folder, and a file, are each refused by what they are."""
    with pytest.raises(BadSignals, match="does not exist"):
        load(tmp_path / "nowhere")
    with pytest.raises(BadSignals, match="holds no images; put PNG or JPEG files into one subfolder per class"):
        load(tmp_path)
    (tmp_path / "README.md").write_text("nothing yet")
    with pytest.raises(BadSignals, match="holds no images"):
        load(f"{tmp_path}/")
    with pytest.raises(BadSignals, match="is a file, not a folder"):
        load(tmp_path / "README.md")


def test_one_class_is_not_enough(tmp_path: Path):
    """A single class leaves nothing to classify."""
    with pytest.raises(BadSignals, match=r"class names are \['only'\]; give two or more"):
        load(fill(tmp_path, {"only": 9}))


def test_a_layer_without_train_or_test_is_refused(tmp_path: Path):
    """Split folders must include train and test."""
    fill(tmp_path / "train", {"a": 4, "b": 4})
    with pytest.raises(BadSignals, match="has no test folder"):
        load(tmp_path)


def test_split_folders_beside_class_folders_are_refused(tmp_path: Path):
    """A folder is either split folders or class folders."""
    fill(tmp_path / "train", {"a": 4, "b": 4})
    fill(tmp_path, {"c": 4})
    with pytest.raises(BadSignals, match="holds 'c' beside 'train'"):
        load(tmp_path)


def test_a_class_that_is_only_tested_is_refused(tmp_path: Path):
    """A class without training images is named."""
    fill(tmp_path / "train", {"a": 20, "b": 20})
    fill(tmp_path / "test", {"a": 4, "c": 4})
    with pytest.raises(BadSignals, match="class 'c' has no training signal"):
        load(tmp_path)


def test_a_folder_source_needs_its_path():
    """Without the option path the configuration is refused."""
    with pytest.raises(BadConfig, match="option 'path' is None; give the folder"):
        load_signals(SignalsConfig(name="folder"))


@pytest.mark.parametrize("uri", ["nosuch://bucket/pictures", "file://relative/pictures"])
def test_an_uri_nothing_opens_is_refused(uri: str):
    """An unknown scheme or a malformed URI is one line."""
    with pytest.raises(BadSignals, match="cannot be opened"):
        load(uri)
