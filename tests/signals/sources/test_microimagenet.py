"""Tests of MicroImageNet, which is assembled from an ImageNet tree and a sorted list of classes."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadConfig, BadSignals
from nefstudy.signals.catalog import load_signals
from nefstudy.signals.signal import SPLITS, Split
from nefstudy.signals.sources.microimagenet import read_wnids

from ...present import present

LIST = "# ten would be\nn01 cat\n\nn02 cat\nn05 truck\n"
IMAGES = 12


def image(seed: int, *, width: int = 300, height: int = 280) -> bytes:
    """Return a smooth JPEG whose color depends on the seed."""
    rows, columns = np.mgrid[0:height, 0:width]
    pixels = np.stack([rows * 0.5 + seed, columns * 0.4, np.full(rows.shape, 20.0 * (seed % 12))], axis=-1)
    buffer = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return an ImageNet tree with folders for four WordNet ids (wnids), one of which is not in the list of classes."""
    for number, wnid in enumerate(("n01", "n02", "n05", "n09")):
        folder = tmp_path / "ILSVRC/Data/CLS-LOC/train" / wnid
        folder.mkdir(parents=True)
        for index in range(IMAGES):
            (folder / f"{wnid}_{index}.JPEG").write_bytes(image(13 * number + index))
    (tmp_path / "wnids.txt").write_text(LIST)
    return tmp_path


def load(tree: Path, *, per_class: int | None = 12, **more: object):
    options = {"path": str(tree), "wnids": str(tree / "wnids.txt"), **more}
    options |= {} if per_class is None else {"per_class": per_class}
    return load_signals(SignalsConfig(name="microimagenet", options=options))


def test_classes_are_drawn_from_their_wnids(tree: Path):
    """The images of a class are drawn from the folders that the list assigns to it.

    Each class has twelve images, and folders that are not in the list are ignored.
    """
    signals = load(tree)
    assert (signals.card.grid, signals.card.channels, signals.card.class_names) == ((64, 64), 3, ("cat", "truck"))
    counts: dict[Split, int] = {"train": 9, "val": 1, "test": 2}
    for part, count in counts.items():
        assert (np.bincount(present(signals.labels)[signals.split == SPLITS[part]]) == count).all()


def test_an_image_is_its_middle_256_pixels_at_64(tree: Path):
    """An image is the center crop of its file, scaled to 64 x 64 pixels.

    Ids follow the order of the files.
    """
    signals = load(tree)
    trucks = sorted(int(i) for i in signals.ids[signals.labels == 1])
    files = sorted((tree / "ILSVRC/Data/CLS-LOC/train/n05").iterdir(), key=lambda file: file.name)
    with Image.open(files[3]) as opened:
        left, top = (opened.width - 256) // 2, (opened.height - 256) // 2
        expected = opened.crop((left, top, left + 256, top + 256)).resize((64, 64), Image.Resampling.LANCZOS)
    row = int(np.flatnonzero(signals.ids == trucks[3])[0])
    np.testing.assert_array_equal(signals.values[row], np.array(expected))


def test_the_draw_is_reproducible(tree: Path):
    """The drawn images do not depend on the order in which the files of the ImageNet tree were written."""
    first = load(tree).card.content_hash
    folder = tree / "ILSVRC/Data/CLS-LOC/train/n01"
    moved = {file.name: file.read_bytes() for file in folder.iterdir()}
    for file in folder.iterdir():
        file.unlink()
    for name in sorted(moved, reverse=True):
        (folder / name).write_bytes(moved[name])
    from nefstudy.signals import catalog

    catalog._full.cache_clear()
    assert load(tree).card.content_hash == first
    assert load(tree, per_class=11).card.content_hash != first


def test_wnid_folders_may_be_at_the_root(tree: Path, tmp_path: Path):
    """A folder that directly contains the wnid folders gives the same content as the full ImageNet tree."""
    first = load(tree).card.content_hash
    (tree / "ILSVRC/Data/CLS-LOC/train").rename(tmp_path / "plain")
    (tmp_path / "plain/wnids.txt").write_text(LIST)
    assert load(tmp_path / "plain").card.content_hash == first


def test_a_class_with_too_few_images_is_refused(tree: Path):
    """If a class has too few images, the error states how many are available.

    The default is 6,000 images per class.
    """
    with pytest.raises(BadSignals, match=r"'cat' .*24 images in 2 .*6000 .*per_class=24"):
        load(tree, per_class=None)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("n02 cat\nn01 cat\nn05 truck\n", "wnids sorted"),
        ("n01 cat\nn01 truck\n", "wnids sorted"),
        ("n01 cat\nn02 cat\n", "two .*classes"),
        ("n01\n", "line 1 .*'n01'; .*`WNID CLASS`"),
        ("", "two .*classes"),
    ],
)
def test_an_invalid_list_is_refused(tmp_path: Path, text: str, says: str):
    """The error for an invalid list of classes states the cause.

    A list is invalid if it is unsorted, repeats a wnid, has a single class or is malformed.
    """
    (tmp_path / "wnids.txt").write_text(text)
    with pytest.raises(BadSignals, match=says):
        read_wnids(str(tmp_path / "wnids.txt"))


def test_a_tree_without_images_or_list_is_refused(tmp_path: Path):
    """If the images or the list of classes are missing, the error states what to provide."""
    (tmp_path / "wnids.txt").write_text(LIST)
    with pytest.raises(BadSignals, match="no images"):
        load(tmp_path)
    with pytest.raises(BadConfig, match=r"'wnids' .*None; .*text file"):
        load_signals(SignalsConfig(name="microimagenet", options={"path": str(tmp_path)}))
