"""Decoding of PNG and JPEG bytes into uint8 arrays."""

import io
import struct
from collections.abc import Iterable

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadSignals
from nefstudy.signals.check import refuse
from nefstudy.signals.files.file_type import reason_for
from nefstudy.signals.sources.options import int_option

GRAY, COLOR = 1, 3
KINDS = {GRAY: "gray", COLOR: "color"}
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, Image.DecompressionBombError)
"""Exceptions that Pillow raises for invalid images."""

Conversion = dict[str, int | None]


def conversion(config: SignalsConfig) -> Conversion:
    """Return the options `size` and `channels`, which define how a source converts its images.

    `size` crops images to a centered square and resizes them to size x size; `channels` is 1 for gray or 3 for color.

    Raises:
        BadConfig: a value that is not allowed.
    """
    return {
        "size": int_option(config, "size", allowed=range(2, 4097), hint="an integer from 2 to 4096"),
        "channels": int_option(config, "channels", allowed=KINDS, hint="1 for gray or 3 for color"),
    }


def stack_images(
    encoded: Iterable[tuple[str, bytes]],
    *,
    where: str,
    size: int | None = None,
    crop: int | None = None,
    channels: int | None = None,
) -> UInt8[np.ndarray, "S H W C"]:
    """Stack images into one array; all images must have the same size and number of channels.

    Args:
        encoded: (name, bytes) of each image.

    Raises:
        BadSignals: names images that cannot be decoded or differ in shape from the first.
    """
    images: list[UInt8[np.ndarray, "H W C"]] = []
    problems: list[str] = []
    first = ""
    for name, data in encoded:
        try:
            image = decode_image(data, size=size, crop=crop, channels=channels)
        except BadSignals as error:
            problems.append(f"{name} {error}")
            continue
        if images and image.shape != images[0].shape:
            problems.append(_mismatch(name, image.shape, first=first, expected=images[0].shape))
            continue
        first = first or name
        images.append(image)
    refuse(problems, where=where)
    if not images:
        raise BadSignals(f"{where}: there are no images; give some of every class")
    return np.stack(images)


def _mismatch(name: str, shape: tuple[int, ...], *, first: str, expected: tuple[int, ...]) -> str:
    if shape[:2] != expected[:2]:
        return (
            f"{name} is {shape[1]}x{shape[0]} but {first} is {expected[1]}x{expected[0]}; "
            f"resize it, or give option size=N to crop and resize all"
        )
    return (
        f"{name} is {KINDS[shape[2]]} but {first} is {KINDS[expected[2]]}; "
        f"convert it, or give option channels=1 or channels=3 to convert all"
    )


def decode_image(
    data: bytes, *, size: int | None = None, crop: int | None = None, channels: int | None = None
) -> UInt8[np.ndarray, "H W C"]:
    """Decode PNG or JPEG bytes into upright pixels, with 1 channel if stored as grayscale, otherwise 3 channels.

    Args:
        size: scale the largest centered square, of at most `crop` pixels, to size x size.

    Raises:
        BadSignals: the problem of the image, phrased to follow its name.
    """
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as opened:
            if getattr(opened, "is_animated", False):
                raise BadSignals("is animated; keep one frame of it")
            opened.load()
            image = _plain(ImageOps.exif_transpose(opened), channels=channels)
    except UNREADABLE as error:
        raise BadSignals(f"is not a readable PNG or JPEG ({_reason(data, error)}); replace or remove it") from None
    if size is not None:
        image = _center_square(image, crop=crop).resize((size, size), Image.Resampling.LANCZOS)
    pixels = np.array(image, dtype=np.uint8)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _reason(data: bytes, error: Exception) -> str:
    """Return why an image cannot be decoded: its actual file type if known, otherwise Pillow's error."""
    if data.startswith((b"\x89PNG\r\n", b"\xff\xd8\xff")):
        return " ".join(str(error).split())[:80]
    return reason_for(data, error)


def _center_square(image: Image.Image, *, crop: int | None) -> Image.Image:
    """Return the largest centered square whose side is at most `crop` pixels."""
    side = min(*image.size, *(() if crop is None else (crop,)))
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def _plain(image: Image.Image, *, channels: int | None) -> Image.Image:
    """Convert the image to 8-bit grayscale or RGB."""
    if image.mode.startswith(("I", "F")):
        raise BadSignals(f"has more than 8 bits per channel (mode {image.mode}); convert it to 8 bits")
    gray = channels == GRAY or (channels is None and image.mode in ("L", "LA", "1"))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema()[0] != 255:
            raise BadSignals("is partly transparent; flatten it onto a background")
    return image.convert("L" if gray else "RGB")
