"""Images from a folder: one subfolder per class, optionally under train, val and test folders."""

import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

import numpy as np
from jaxtyping import Int8

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadSignals
from nefstudy.signals.check import refuse
from nefstudy.signals.image_set import image_set
from nefstudy.signals.options import only_options, text_option
from nefstudy.signals.pixels import conversion, stack_images
from nefstudy.signals.signal import SPLITS, Signals
from nefstudy.signals.splits import PARTS
from nefstudy.storage import list_tree, read_bytes

SUFFIXES = (".png", ".jpg", ".jpeg")
LEFT_BY_VIEWERS = frozenset({"thumbs.db", "desktop.ini"})


def read_folder(config: SignalsConfig) -> Signals:
    """The PNG and JPEG images of a folder; options: `path` (folder or URI), `size`, `channels`.

    `path/CLASS/image.png`, split stratified; or `path/{train,val,test}/CLASS/image.png`, where without `val` a
    tenth of train validates. Images keep their size and must agree in it, unless `size` asks for a centre crop
    resized to size x size. `channels` 1 or 3 converts; without it all images must be grey or all colour.

    Raises:
        BadSignals: the folder is missing or empty, or images are unreadable or do not agree; names files and fix.
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
    """Every image below the folder, checked to lie at path/CLASS or path/SPLIT/CLASS."""
    files, folders = list_tree(path)
    files = [file for file in files if len(file.parts) > 1 or file.suffix.lower() in SUFFIXES]
    files = [file for file in files if file.name.lower() not in LEFT_BY_VIEWERS]
    if not files:
        raise BadSignals(f"{path} holds no images; put PNG or JPEG files into one subfolder per class")
    depth = _depth(path, files)
    shape = "CLASS/image.png" if depth == 2 else "SPLIT/CLASS/image.png"
    used = {parent for file in files for parent in file.parents}
    problems = [f"folder {folder} is empty; put images there or remove it" for folder in folders if folder not in used]
    problems += [f"{file} is not at {shape}; move or remove it" for file in files if len(file.parts) != depth]
    problems += [
        f"{file} is no PNG or JPEG; convert or remove it" for file in files if file.suffix.lower() not in SUFFIXES
    ]
    refuse(problems, where=path)
    refuse(_twin_problems({part for file in files for part in file.parts[:-1]}), where=path)
    return files


def _twin_problems(names: set[str]) -> Iterator[str]:
    """Yield folders whose names look alike and are not, as accents composed by one system and not by another."""
    seen: dict[str, str] = {}
    for name in sorted(names):
        other = seen.setdefault(unicodedata.normalize("NFC", name), name)
        if other != name:
            yield f"folders {other!a} and {name!a} are one name in two Unicode forms; move them into one"


def _depth(path: str, files: Sequence[PurePosixPath]) -> int:
    """3 when the folder's own folders are splits, else 2."""
    top = {file.parts[0] for file in files}
    twice = sorted(name for name in top if name != name.lower() and name.lower() in top and name.lower() in PARTS)
    if twice:
        raise BadSignals(
            f"{path} holds {twice[0]!r} and {twice[0].lower()!r}, one split; move the files into one folder"
        )
    if {name.lower() for name in top} <= set(PARTS):
        return 3
    deep = sorted(name for name in {file.parts[0] for file in files if len(file.parts) > 2} if name.lower() in PARTS)
    if deep:
        other = min(name for name in top if name.lower() not in PARTS)
        raise BadSignals(f"{path} holds {other!r} beside {deep[0]!r}; keep split folders only, or class folders only")
    return 2


def _folder_split(path: str, files: Sequence[PurePosixPath]) -> Int8[np.ndarray, " S"] | None:
    if len(files[0].parts) == 2:
        return None
    split = np.array([SPLITS[PARTS[file.parts[0].lower()]] for file in files], dtype=np.int8)
    missing = [name for name in ("train", "test") if not (split == SPLITS[PARTS[name]]).any()]
    if missing:
        raise BadSignals(f"{path} has no {missing[0]} folder; add it, or put the class folders directly into {path}")
    return split
