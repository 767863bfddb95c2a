"""Tests that a folder of images is read or rejected with a one-line error that says what to fix."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadConfig, BadSignals
from nefstudy.signals.catalog import load_signals
from nefstudy.signals.signal import SPLITS, Signals

from ...present import present


def pixels(seed: int, shape: tuple[int, ...] = (6, 5)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def fill(folder: Path, classes: dict[str, int], *, shape: tuple[int, ...] = (6, 5)) -> Path:
    """Write a folder of PNG images for each class; image i of every class is `pixels(i)`."""
    for name, count in classes.items():
        (folder / name).mkdir(parents=True)
        for index in range(count):
            Image.fromarray(pixels(index, shape)).save(folder / name / f"{index:03}.png")
    return folder


def load(folder: Path | str, **options) -> Signals:
    return load_signals(SignalsConfig(name="folder", options={"path": str(folder), **options}))


def test_classes_are_the_subfolders_in_alphabetical_order(tmp_path: Path):
    """The classes are named after the subfolders, in alphabetical order.

    Labels and pixels match the files, and ids follow the order of the paths.
    """
    signals = load(fill(tmp_path, {"dog": 5, "cat": 4}))
    assert signals.card.class_names == ("cat", "dog")
    assert (signals.card.grid, signals.card.channels) == ((6, 5), 1)
    by_id = signals.select(np.argsort(signals.ids))
    np.testing.assert_array_equal(by_id.labels, [0] * 4 + [1] * 5)
    np.testing.assert_array_equal(by_id.values[6, ..., 0], pixels(2))


def test_color_folders_have_three_channels(tmp_path: Path):
    """Color images are read with three channels."""
    signals = load(fill(tmp_path, {"a": 3, "b": 3}, shape=(6, 5, 3)))
    np.testing.assert_array_equal(signals.values[signals.ids == 5][0], pixels(2, (6, 5, 3)))


def test_suffixes_are_case_insensitive_and_hidden_files_are_ignored(tmp_path: Path):
    """Images are also read from files with the suffixes .PNG and .jpeg.

    A .DS_Store file and a README next to the class folders are ignored.
    """
    fill(tmp_path, {"a": 3, "b": 3})
    Image.fromarray(pixels(9)).save(tmp_path / "a" / "x.PNG")
    Image.fromarray(pixels(9)).save(tmp_path / "b" / "y.jpeg")
    (tmp_path / "a" / ".DS_Store").write_bytes(b"finder")
    (tmp_path / "README.txt").write_text("two classes")
    assert len(load(tmp_path)) == 8


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_split_folders_define_the_split(tmp_path: Path, name: str):
    """Signals in the train, val and test folders belong to the split of the same name."""
    for part, count in {"train": 5, name: 2, "test": 3}.items():
        fill(tmp_path / part, {"a": count, "b": count})
    signals = load(tmp_path)
    np.testing.assert_array_equal(np.bincount(present(signals.split)), [10, 4, 6])
    assert signals.card.class_names == ("a", "b")


def test_without_a_validation_folder_a_tenth_of_train_becomes_validation(tmp_path: Path):
    """Without a validation folder, a tenth of the training signals becomes the validation split.

    Equal numbers are taken from each class, and the test split is unchanged.
    """
    for part, count in {"train": 20, "test": 3}.items():
        fill(tmp_path / part, {"a": count, "b": count})
    signals = load(tmp_path)
    np.testing.assert_array_equal(np.bincount(present(signals.split)), [36, 4, 6])
    assert sorted(present(signals.labels)[signals.split == SPLITS["val"]]) == [0, 0, 1, 1]


def test_classes_may_have_names_of_splits(tmp_path: Path):
    """A folder named test that directly contains images is a class, not a split."""
    assert load(fill(tmp_path, {"test": 3, "trial": 3})).card.class_names == ("test", "trial")


def test_mixed_sizes_and_channels_can_be_converted(tmp_path: Path):
    """The options `size` and `channels` convert images of different shapes to the same shape."""
    fill(tmp_path, {"a": 3, "b": 3})
    Image.fromarray(pixels(1, (40, 90, 3))).save(tmp_path / "a" / "wide.jpg")
    signals = load(tmp_path, size=4, channels=3)
    assert signals.values.shape == (7, 4, 4, 3)


def test_a_file_uri_equals_its_path(tmp_path: Path):
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


def _color_among_gray(folder: Path) -> None:
    Image.fromarray(pixels(0, (6, 5, 3))).save(folder / "b" / "red.png")


def _single(folder: Path) -> None:
    fill(folder, {"rare": 1})


def _empty_class(folder: Path) -> None:
    (folder / "later").mkdir()


def _next_to_classes(folder: Path) -> None:
    Image.fromarray(pixels(0)).save(folder / "stray.png")


def _too_deep(folder: Path) -> None:
    fill(folder / "a", {"kittens": 3})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_text_in_class, "a/notes.txt .*PNG or JPEG"),
        (_no_image, "b/001.png .*PNG or JPEG"),
        (_truncated, "b/002.png .*PNG or JPEG"),
        (_empty_file, "b/000.png .*PNG or JPEG"),
        (_other_size, "b/big.png .*7x7 .*a/000.png .*5x6; .*size=N"),
        (_color_among_gray, "b/red.png .*color .*a/000.png .*gray; .*channels=1"),
        (_single, "'rare' .*1 signal; .*3 "),
        (_empty_class, "later .*empty"),
        (_next_to_classes, "stray.png .*CLASS/image.png"),
        (_too_deep, "a/kittens/000.png .*CLASS/image.png"),
    ],
)
def test_an_invalid_folder_is_refused_on_one_line(tmp_path: Path, spoil, message: str):
    """The error for an invalid folder names the affected file and the fix in one line."""
    fill(tmp_path, {"a": 4, "b": 4})
    assert len(load(tmp_path)) == 8
    spoil(tmp_path)
    with pytest.raises(BadSignals, match=message) as refused:
        _fresh(tmp_path)
    assert "\n" not in str(refused.value)


def _fresh(folder: Path) -> Signals:
    """Load a folder through another spelling of its path, which bypasses the cache."""
    return load(f"{folder}/.")


def test_several_problems_are_reported_together(tmp_path: Path):
    """A single error names all unreadable files."""
    fill(tmp_path, {"a": 4, "b": 4})
    _no_image(tmp_path)
    _truncated(tmp_path)
    with pytest.raises(BadSignals, match=r"b/001.png .*; b/002.png "):
        load(tmp_path)


def test_folders_without_images_are_refused(tmp_path: Path):
    """The error for a path that is not a folder of images states the cause.

    The path is missing, or it is an empty folder, a folder of text or a file.
    """
    with pytest.raises(BadSignals, match=f"{tmp_path}/nowhere .*exist"):
        load(tmp_path / "nowhere")
    with pytest.raises(BadSignals, match=r"no images; .*PNG or JPEG"):
        load(tmp_path)
    (tmp_path / "README.md").write_text("nothing yet")
    with pytest.raises(BadSignals, match="no images"):
        load(f"{tmp_path}/")
    with pytest.raises(BadSignals, match=r"README.md .*folder"):
        load(tmp_path / "README.md")


def test_one_class_is_not_enough(tmp_path: Path):
    """A folder with a single class is rejected."""
    with pytest.raises(BadSignals, match=r"\['only'\]; .*two"):
        load(fill(tmp_path, {"only": 9}))


@pytest.mark.parametrize(("there", "missing"), [("train", "test"), ("test", "train")])
def test_split_folders_without_train_or_test_are_refused(tmp_path: Path, there: str, missing: str):
    """Split folders are rejected if the train folder or the test folder is missing.

    A validation folder does not replace either of them.
    """
    fill(tmp_path / there, {"a": 4, "b": 4})
    with pytest.raises(BadSignals, match=f"{missing} folder"):
        load(tmp_path)
    fill(tmp_path / "val", {"a": 4, "b": 4})
    with pytest.raises(BadSignals, match=f"{missing} folder"):
        _fresh(tmp_path)


def test_split_folders_mixed_with_class_folders_are_refused(tmp_path: Path):
    """A folder with both split folders and class folders is rejected."""
    fill(tmp_path / "train", {"a": 4, "b": 4})
    fill(tmp_path, {"c": 4})
    with pytest.raises(BadSignals, match=r"'c' .*'train'"):
        load(tmp_path)


def test_a_class_without_training_images_is_refused(tmp_path: Path):
    """If a class occurs only in the test folder, the error names it."""
    fill(tmp_path / "train", {"a": 20, "b": 20})
    fill(tmp_path / "test", {"a": 4, "c": 4})
    with pytest.raises(BadSignals, match=r"'c' .*training signal"):
        load(tmp_path)


def test_a_folder_source_needs_its_path():
    """A configuration without the option `path` is rejected."""
    with pytest.raises(BadConfig, match=r"'path' .*None; .*folder"):
        load_signals(SignalsConfig(name="folder"))


@pytest.mark.parametrize("uri", ["nosuch://bucket/pictures", "file://relative/pictures"])
def test_an_invalid_uri_is_refused(uri: str):
    """An unknown scheme or a malformed URI is rejected."""
    with pytest.raises(BadSignals, match=uri):
        load(uri)
