"""Laws of MicroImageNet: built from an ImageNet tree by a sorted list, the same way each time."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadConfig, BadSignals
from nefstudy.signals.catalog import load_signals
from nefstudy.signals.microimagenet import read_wnids
from nefstudy.signals.signal import SPLITS

LIST = "# ten would be\nn01 cat\n\nn02 cat\nn05 truck\n"
IMAGES = 12


def image(seed: int, *, width: int = 300, height: int = 280) -> bytes:
    """A smooth JPEG whose colour tells its seed."""
    rows, columns = np.mgrid[0:height, 0:width]
    pixels = np.stack([rows * 0.5 + seed, columns * 0.4, np.full(rows.shape, 20.0 * (seed % 12))], axis=-1)
    buffer = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """An ImageNet tree of four wnids, one of which the list does not name."""
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
    """Twelve images of each class, cats from both of their folders, none of a folder that is not listed."""
    signals = load(tree)
    assert (signals.card.grid, signals.card.channels, signals.card.class_names) == ((64, 64), 3, ("cat", "truck"))
    for part, count in {"train": 9, "val": 1, "test": 2}.items():
        assert (np.bincount(signals.labels[signals.split == SPLITS[part]]) == count).all()


def test_an_image_is_its_middle_256_pixels_at_64(tree: Path):
    """All twelve trucks are taken, each the centre crop of its file, scaled; file order gives the ids."""
    signals = load(tree)
    trucks = sorted(int(i) for i in signals.ids[signals.labels == 1])
    files = sorted((tree / "ILSVRC/Data/CLS-LOC/train/n05").iterdir(), key=lambda file: file.name)
    with Image.open(files[3]) as opened:
        left, top = (opened.width - 256) // 2, (opened.height - 256) // 2
        wanted = opened.crop((left, top, left + 256, top + 256)).resize((64, 64), Image.Resampling.LANCZOS)
    place = int(np.flatnonzero(signals.ids == trucks[3])[0])
    np.testing.assert_array_equal(signals.values[place], np.array(wanted))


def test_the_draw_repeats(tree: Path):
    """Building it twice, from trees written in another order, gives the same content."""
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


def test_folders_may_lie_at_the_root(tree: Path, tmp_path: Path):
    """A tree of wnid folders alone reads like the full one."""
    first = load(tree).card.content_hash
    (tree / "ILSVRC/Data/CLS-LOC/train").rename(tmp_path / "plain")
    (tmp_path / "plain/wnids.txt").write_text(LIST)
    assert load(tmp_path / "plain").card.content_hash == first


def test_a_class_with_too_few_images_is_named_with_its_count(tree: Path):
    """6,000 a class are asked for unless said otherwise."""
    with pytest.raises(BadSignals, match=r"class 'cat' has 24 images in 2 folders .* 6000 are needed; .*per_class=24"):
        load(tree, per_class=None)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("n02 cat\nn01 cat\nn05 truck\n", "wnids sorted and each once"),
        ("n01 cat\nn01 truck\n", "wnids sorted and each once"),
        ("n01 cat\nn02 cat\n", "two classes or more"),
        ("n01\n", "line 1 is 'n01'; write `WNID CLASS`"),
        ("", "two classes or more"),
    ],
)
def test_a_list_that_does_not_reproduce_is_refused(tmp_path: Path, text: str, says: str):
    """Unsorted, repeated, single-class and malformed lists are told what is wrong."""
    (tmp_path / "wnids.txt").write_text(text)
    with pytest.raises(BadSignals, match=says):
        read_wnids(str(tmp_path / "wnids.txt"))


def test_a_tree_without_images_or_list_is_refused(tmp_path: Path):
    """No images, and no list, are each said with what to give."""
    (tmp_path / "wnids.txt").write_text(LIST)
    with pytest.raises(BadSignals, match="holds no images"):
        load(tmp_path)
    with pytest.raises(BadConfig, match="option 'wnids' is None; give a text file"):
        load_signals(SignalsConfig(name="microimagenet", options={"path": str(tmp_path)}))
