"""Source of images from a folder: one subfolder per class, optionally below train, val and test folders."""

import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

import numpy as np
from jaxtyping import Int8

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadSignals
from nefstudy.signals.check import refuse
from nefstudy.signals.files.pixels import conversion, stack_images
from nefstudy.signals.image_set import image_set
from nefstudy.signals.signal import SPLITS, Signals
from nefstudy.signals.sources.options import only_options, text_option
from nefstudy.signals.splits import PARTS
from nefstudy.storage import list_tree, read_bytes

SUFFIXES = (".png", ".jpg", ".jpeg")
LEFT_BY_VIEWERS = frozenset({"thumbs.db", "desktop.ini"})


def read_folder(config: SignalsConfig) -> Signals:
    """Read the PNG and JPEG images of a folder; options: `path` (folder or URI), `size`, `channels`.

    The layout is `path/CLASS/image.png`, with a stratified split, or `path/{train,val,test}/CLASS/image.png`; without
    `val`, a tenth of train becomes validation. Images keep their size, which must be equal, unless `size` requests a
    center crop resized to size x size. `channels` converts to 1 or 3; without it, images must be all gray or all color.

    Raises:
        BadSignals: the folder is missing or empty, or images are unreadable or differ; names the files and the fix.
    """
    only_options(config, "path", "size", "channels")
    path = text_option(config, "path", hint="the folder that holds one subfolder of images per class")
    convert = conversion(config)
    files = _class_files(path)
    class_names = sorted({file.parent.name for file in files})
    index = {name: label for label, name in enumerate(class_names)}
    labels = np.array([index[file.parent.name] for file in files])
    split = _folder_split(path, files)
    return image_set(
        stack_images(_encoded(path, files), where=path, **convert),
        labels,
        config=config,
        class_names=class_names,
        license="as given by its owner",
        source=path,
        split=split,
    )


def _encoded(path: str, files: Sequence[PurePosixPath]) -> Iterator[tuple[str, bytes]]:
    for file in files:
        yield str(file), read_bytes(path, file)


def _class_files(path: str) -> list[PurePosixPath]:
    """Return all images below the folder, after checking that they are at path/CLASS or path/SPLIT/CLASS."""
    files, folders = list_tree(path)
    files = [file for file in files if len(file.parts) > 1 or file.suffix.lower() in SUFFIXES]
    files = [file for file in files if file.name.lower() not in LEFT_BY_VIEWERS]
    if not files:
        raise BadSignals(f"{path} contains no images; put PNG or JPEG files into one subfolder per class")
    depth = _depth(path, files)
    shape = "CLASS/image.png" if depth == 2 else "SPLIT/CLASS/image.png"
    used = {parent for file in files for parent in file.parents}
    problems = [f"folder {folder} is empty; put images there or remove it" for folder in folders if folder not in used]
    problems += [f"{file} is not at {shape}; move or remove it" for file in files if len(file.parts) != depth]
    problems += [
        f"{file} is not a PNG or JPEG; convert or remove it" for file in files if file.suffix.lower() not in SUFFIXES
    ]
    refuse(problems, where=path)
    refuse(_twin_problems({part for file in files for part in file.parts[:-1]}), where=path)
    return files


def _twin_problems(names: set[str]) -> Iterator[str]:
    """Yield a problem for each pair of folder names that look equal but differ in Unicode normalization."""
    seen: dict[str, str] = {}
    for name in sorted(names):
        other = seen.setdefault(unicodedata.normalize("NFC", name), name)
        if other != name:
            yield f"folders {other!a} and {name!a} are the same name in two Unicode forms; merge them"


def _depth(path: str, files: Sequence[PurePosixPath]) -> int:
    """Return the number of path parts per image: 3 if the top folders are splits, else 2."""
    top = {file.parts[0] for file in files}
    duplicates = sorted(name for name in top if name != name.lower() and name.lower() in top and name.lower() in PARTS)
    if duplicates:
        raise BadSignals(
            f"{path} contains {duplicates[0]!r} and {duplicates[0].lower()!r}, which are the same split; move the "
            "files into one folder"
        )
    if {name.lower() for name in top} <= set(PARTS):
        return 3
    deep = sorted(name for name in {file.parts[0] for file in files if len(file.parts) > 2} if name.lower() in PARTS)
    if deep:
        other = min(name for name in top if name.lower() not in PARTS)
        raise BadSignals(
            f"{path} contains {other!r} next to split folder {deep[0]!r}; keep split folders only or class folders only"
        )
    return 2


def _folder_split(path: str, files: Sequence[PurePosixPath]) -> Int8[np.ndarray, " S"] | None:
    if len(files[0].parts) == 2:
        return None
    split = np.array([SPLITS[PARTS[file.parts[0].lower()]] for file in files], dtype=np.int8)
    missing = [name for name in ("train", "test") if not (split == SPLITS[PARTS[name]]).any()]
    if missing:
        raise BadSignals(f"{path} has no {missing[0]} folder; add it, or put the class folders directly into {path}")
    return split
