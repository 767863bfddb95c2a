"""Source of MicroImageNet: ten superclasses of 6,000 images each, assembled from an ImageNet tree."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath

import numpy as np

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadSignals
from nefstudy.outside_text import shortened
from nefstudy.seeds import stream
from nefstudy.signals.files.pixels import COLOR, stack_images
from nefstudy.signals.image_set import image_set
from nefstudy.signals.signal import Signals
from nefstudy.signals.sources.options import int_option, only_options, text_option
from nefstudy.signals.sources.parquet import holds_parquet, read_parquet
from nefstudy.signals.splits import stratified_split
from nefstudy.storage import list_tree, read_bytes

PER_CLASS, SEED = 6000, 42
CROP, SIDE = 256, 64
FRACTIONS = (0.75, 1 / 12, 1 / 6)
"""Shares of train, val and test: 45,000 / 5,000 / 10,000 images."""

SUFFIXES = (".jpeg", ".jpg", ".png")
WHERE = ("ILSVRC/Data/CLS-LOC/train", "train", "")
"""Possible locations of the wnid folders below the root of an ImageNet tree."""


def read_microimagenet(config: SignalsConfig) -> Signals:
    """Read MicroImageNet; options: `path` (an ImageNet tree), `wnids` (a file with `WNID CLASS` lines), `per_class`.

    For each class, 6,000 images are drawn (seed 42) from the folders of its wnids in sorted order; a center crop of
    256 pixels is scaled to 64x64. Parquet files at `path` are read by `read_parquet`.

    Raises:
        BadSignals: a folder or image is missing or unreadable, a class is too small, or the list is not sorted.
    """
    path = text_option(config, "path", hint="the root of an ImageNet tree, or a folder of parquet files")
    if "wnids" not in config.options and holds_parquet(path):
        return read_parquet(config)
    only_options(config, "path", "wnids", "per_class")
    hint = "a text file with a line `WNID CLASS` for each ImageNet folder to use, sorted by WNID"
    groups = read_wnids(text_option(config, "wnids", hint=hint))
    option = int_option(config, "per_class", allowed=range(3, 1_000_001), hint="an integer of at least 3")
    per_class = PER_CLASS if option is None else option
    chosen = _drawn(path, groups, per_class=per_class)
    labels = np.repeat(np.arange(len(groups)), per_class)
    return image_set(
        stack_images(_encoded(path, chosen), where=path, size=SIDE, crop=CROP, channels=COLOR),
        labels,
        config=config,
        class_names=tuple(groups),
        license="ImageNet terms of access",
        source=path,
        split=stratified_split(labels, seed=config.split_seed, fractions=FRACTIONS),
    )


def read_wnids(location: str) -> dict[str, list[str]]:
    """Return the WordNet ids (wnids) of every class, sorted by class name; blank lines and # comments are ignored.

    Raises:
        BadSignals: a line is not `WNID CLASS`, wnids are not sorted and distinct, or there are fewer than two classes.
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
            f"{location} must name two or more classes, with wnids sorted and each once; run sort -u on it"
        )
    return {name: [wnid for wnid, other in pairs if other == name] for name in sorted({name for _, name in pairs})}


def _drawn(path: str, groups: Mapping[str, Sequence[str]], *, per_class: int) -> list[str]:
    files, _ = list_tree(path)
    images = [file for file in files if file.suffix.lower() in SUFFIXES]
    start = next((PurePosixPath(where) for where in WHERE if any(file.is_relative_to(where) for file in images)), None)
    if start is None:
        raise BadSignals(f"{path} contains no images; give the root of an ImageNet tree")
    chosen: list[str] = []
    for name, wnids in groups.items():
        folders = {start / wnid for wnid in wnids}
        available = [str(file) for file in images if file.parent in folders]
        if len(available) < per_class:
            raise BadSignals(
                f"{path}: class {name!r} has {len(available)} images in {len(wnids)} folders below {start}, but "
                f"{per_class} are needed; add its folders, or give option per_class={len(available)}"
            )
        draw = stream(SEED, "microimagenet", name).choice(len(available), size=per_class, replace=False)
        chosen += [available[index] for index in sorted(draw)]
    return chosen


def _encoded(path: str, files: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    for file in files:
        yield file, read_bytes(path, file)
