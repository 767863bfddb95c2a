"""Images from a folder: one subfolder per class, optionally under train, val and test folders."""

import io
import struct
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadSignals
from nefstudy.signals.check import refuse
from nefstudy.signals.image_set import image_set
from nefstudy.signals.location import below, list_files, read_bytes
from nefstudy.signals.options import only_options, text_option, whole_option
from nefstudy.signals.signal import SPLITS, Signals
from nefstudy.signals.splits import carve_validation

SUFFIXES = (".png", ".jpg", ".jpeg")
VALIDATION_SHARE = 0.1
GREY, COLOUR = 1, 3


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
    size = whole_option(config, "size", least=2, most=4096)
    channels = whole_option(config, "channels", least=GREY, most=COLOUR)
    files = _class_files(path)
    class_names = sorted({file.parent.name for file in files})
    labels = np.array([class_names.index(file.parent.name) for file in files])
    values = _read_images(path, files, size=size, channels=channels)
    split = _folder_split(path, files)
    if split is not None and not (split == SPLITS["val"]).any():
        count = round(VALIDATION_SHARE * int((split == SPLITS["train"]).sum()))
        split = carve_validation(labels, split, count=max(1, count), seed=config.split_seed)
    return image_set(
        values,
        labels,
        config=config,
        class_names=class_names,
        licence="as given by its owner",
        source=path,
        split=split,
    )


def _class_files(path: str) -> list[PurePosixPath]:
    """Every image below the folder, checked to lie at path/CLASS or path/SPLIT/CLASS."""
    files = [PurePosixPath(file) for file in list_files(path)]
    files = [file for file in files if len(file.parts) > 1 or file.suffix.lower() in SUFFIXES]
    if not files:
        raise BadSignals(f"{path} holds no images; put PNG or JPEG files into one subfolder per class")
    depth = 3 if {file.parts[0] for file in files} <= set(SPLITS) else 2
    shape = "SPLIT/CLASS/image.png" if depth == 3 else "CLASS/image.png"
    problems = [f"{file} is not at {shape}; move it" for file in files if len(file.parts) != depth]
    problems += [
        f"{file} is no PNG or JPEG; convert or remove it" for file in files if file.suffix.lower() not in SUFFIXES
    ]
    refuse(problems, where=path)
    return files


def _folder_split(path: str, files: Sequence[PurePosixPath]) -> UInt8[np.ndarray, " S"] | None:
    if len(files[0].parts) == 2:
        return None
    codes = np.array([SPLITS[file.parts[0]] for file in files], dtype=np.uint8)  # type: ignore[index]  # checked names
    for name in ("train", "test"):
        if not (codes == SPLITS[name]).any():
            raise BadSignals(f"{path} has no {name} folder; add it, or lay classes directly in the folder")
    return codes


def _read_images(
    path: str, files: Sequence[PurePosixPath], *, size: int | None, channels: int | None
) -> UInt8[np.ndarray, "S H W C"]:
    """All images in one array."""
    values: UInt8[np.ndarray, "S H W C"] | None = None
    problems = []
    for row, file in enumerate(files):
        try:
            image = decode_image(read_bytes(below(path, str(file))), size=size, channels=channels)
        except BadSignals as error:
            problems.append(f"{file} {error}")
            continue
        if values is None:
            values, first = np.empty((len(files), *image.shape), dtype=np.uint8), file
        if image.shape != values.shape[1:]:
            problems.append(_mismatch(file, image.shape, first, values.shape[1:]))
        else:
            values[row] = image
    refuse(problems, where=path)
    if values is None:
        raise BadSignals(f"{path} holds no images; put PNG or JPEG files into one subfolder per class")
    return values


def _mismatch(file: PurePosixPath, shape: tuple[int, ...], first: PurePosixPath, expected: tuple[int, ...]) -> str:
    if shape[:2] != expected[:2]:
        return (
            f"{file} is {shape[1]}x{shape[0]} but {first} is {expected[1]}x{expected[0]}; "
            f"resize it, or give option size=N to crop and resize all"
        )
    kinds = {GREY: "grey", COLOUR: "colour"}
    return (
        f"{file} is {kinds[shape[2]]} but {first} is {kinds[expected[2]]}; "
        f"convert it, or give option channels=1 or channels=3 to convert all"
    )


def decode_image(data: bytes, *, size: int | None = None, channels: int | None = None) -> UInt8[np.ndarray, "H W C"]:
    """The pixels of PNG or JPEG bytes, upright, with 1 channel if stored grey and else 3.

    Raises:
        BadSignals: what is wrong with the image, to stand behind its name.
    """
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as opened:
            opened.load()
            image = _plain(ImageOps.exif_transpose(opened), channels=channels)
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError) as error:
        raise BadSignals(f"cannot be decoded ({' '.join(str(error).split())[:80]}); replace or remove it") from None
    if size is not None:
        image = ImageOps.fit(image, (size, size), method=Image.Resampling.LANCZOS)
    pixels = np.asarray(image, dtype=np.uint8)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _plain(image: Image.Image, *, channels: int | None) -> Image.Image:
    """The image in mode L or RGB."""
    if image.mode.startswith(("I", "F")):
        raise BadSignals(f"has more than 8 bits a channel (mode {image.mode}); convert it to 8 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema()[0] != 255:
            raise BadSignals("is partly transparent; flatten it onto a background")
    grey = channels == GREY or (channels is None and image.mode in ("L", "LA", "1"))
    return image.convert("L" if grey else "RGB")
