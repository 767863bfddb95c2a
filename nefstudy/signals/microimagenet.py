"""MicroImageNet: ten super-classes of 6,000 ImageNet images, put together from an ImageNet tree."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath

import numpy as np

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadSignals
from nefstudy.outside_text import shortened
from nefstudy.seeds import stream
from nefstudy.signals.image_set import image_set
from nefstudy.signals.options import only_options, text_option, whole_option
from nefstudy.signals.parquet import holds_parquet, read_parquet
from nefstudy.signals.pixels import COLOUR, stack_images
from nefstudy.signals.signal import Signals
from nefstudy.signals.splits import stratified_split
from nefstudy.storage import list_tree, read_bytes

PER_CLASS, SEED = 6000, 42
CROP, SIDE = 256, 64
FRACTIONS = (0.75, 1 / 12, 1 / 6)
"""45,000 / 5,000 / 10,000."""

SUFFIXES = (".jpeg", ".jpg", ".png")
WHERE = ("ILSVRC/Data/CLS-LOC/train", "train", "")
"""Where the folders of an ImageNet tree may be, below its root."""


def read_microimagenet(config: SignalsConfig) -> Signals:
    """MicroImageNet; options: `path` (an ImageNet tree), `wnids` (a text file, `WNID CLASS` a line), `per_class`.

    Of each class 6,000 images are drawn (seed 42) from the folders of its wnids in sorted order; their middle 256
    pixels are scaled to 64x64. Parquet files at `path` are read as such (see `read_parquet`).

    Raises:
        BadSignals: a folder or image is missing or unreadable, a class is too small, or the list is not sorted.
    """
    path = text_option(config, "path", hint="the root of an ImageNet tree, or a folder of parquet files")
    if "wnids" not in config.options and holds_parquet(path):
        return read_parquet(config)
    only_options(config, "path", "wnids", "per_class")
    hint = "a text file with a line `WNID CLASS` for every ImageNet folder to take, sorted by WNID"
    groups = read_wnids(text_option(config, "wnids", hint=hint))
    asked = whole_option(config, "per_class", allowed=range(3, 1_000_001), says="a whole number of 3 or more")
    per_class = PER_CLASS if asked is None else asked
    chosen = _drawn(path, groups, per_class=per_class)
    labels = np.repeat(np.arange(len(groups)), per_class)
    return image_set(
        stack_images(_encoded(path, chosen), where=path, size=SIDE, crop=CROP, channels=COLOUR),
        labels,
        config=config,
        class_names=tuple(groups),
        license="ImageNet terms of access",
        source=path,
        split=stratified_split(labels, seed=config.split_seed, fractions=FRACTIONS),
    )


def read_wnids(location: str) -> dict[str, list[str]]:
    """The wnids of every class, classes in order of their names; blank lines and # comments are left out.

    Raises:
        BadSignals: a line that is not `WNID CLASS`, or wnids that are not sorted, each once.
    """
    pairs: list[tuple[str, str]] = []
    for number, line in enumerate(read_bytes(location).decode("utf-8-sig", errors="replace").splitlines(), start=1):
        words = line.split("#")[0].split()
        if words and len(words) != 2:
            raise BadSignals(f"{location} line {number} is {shortened(line, 80)!r}; write `WNID CLASS`")
        if words:
            pairs.append((words[0], words[1]))
    wnids = [wnid for wnid, _ in pairs]
    if wnids != sorted(set(wnids)) or len({name for _, name in pairs}) < 2:
        raise BadSignals(
            f"{location} must name two classes or more, its wnids sorted and each once; run: sort -u on it"
        )
    return {name: [wnid for wnid, other in pairs if other == name] for name in sorted({name for _, name in pairs})}


def _drawn(path: str, groups: Mapping[str, Sequence[str]], *, per_class: int) -> list[str]:
    files, _ = list_tree(path)
    images = [file for file in files if file.suffix.lower() in SUFFIXES]
    start = next((PurePosixPath(where) for where in WHERE if any(file.is_relative_to(where) for file in images)), None)
    if start is None:
        raise BadSignals(f"{path} holds no images; give the root of an ImageNet tree")
    chosen: list[str] = []
    for name, wnids in groups.items():
        folders = {start / wnid for wnid in wnids}
        held = [str(file) for file in images if file.parent in folders]
        if len(held) < per_class:
            raise BadSignals(
                f"{path}: class {name!r} has {len(held)} images in {len(wnids)} folders below {start}, {per_class} are "
                f"needed; add its folders, or give option per_class={len(held)}"
            )
        draw = stream(SEED, "microimagenet", name).choice(len(held), size=per_class, replace=False)
        chosen += [held[index] for index in sorted(draw)]
    return chosen


def _encoded(path: str, files: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    for file in files:
        yield file, read_bytes(path, file)
