"""Pixels from encoded images: PNG and JPEG bytes in, one uint8 array out."""

import io
import struct
from collections.abc import Iterable

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadSignals
from nefstudy.signals.check import refuse
from nefstudy.signals.file_type import reason_for
from nefstudy.signals.options import whole_option

GREY, COLOUR = 1, 3
KINDS = {GREY: "grey", COLOUR: "colour"}
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, Image.DecompressionBombError)
"""What Pillow raises on bytes that are not the image they claim to be."""

Conversion = dict[str, int | None]


def conversion(config: SignalsConfig) -> Conversion:
    """The options `size` (crop to a centred square, resize to size x size) and `channels` (1 grey or 3 colour).

    Raises:
        BadConfig: a value that is not allowed.
    """
    return {
        "size": whole_option(config, "size", allowed=range(2, 4097), says="a whole number from 2 to 4096"),
        "channels": whole_option(config, "channels", allowed=KINDS, says="1 for grey or 3 for colour"),
    }


def stack_images(
    encoded: Iterable[tuple[str, bytes]],
    *,
    where: str,
    size: int | None = None,
    crop: int | None = None,
    channels: int | None = None,
) -> UInt8[np.ndarray, "S H W C"]:
    """All images in one array; they must agree in size and channels.

    Args:
        encoded: (name, bytes) of each image.

    Raises:
        BadSignals: images that cannot be decoded or do not agree with the first, by name.
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
    """The pixels of PNG or JPEG bytes, upright, with 1 channel if stored grey and else 3.

    Args:
        size: scale the largest centred square, of at most `crop` pixels, to size x size.

    Raises:
        BadSignals: what is wrong with the image, to stand behind its name.
    """
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as opened:
            if getattr(opened, "is_animated", False):
                raise BadSignals("is animated; keep one frame of it")
            opened.load()
            image = _plain(ImageOps.exif_transpose(opened), channels=channels)
    except UNREADABLE as error:
        raise BadSignals(f"is no readable PNG or JPEG ({_reason(data, error)}); replace or remove it") from None
    if size is not None:
        image = _centre(image, crop=crop).resize((size, size), Image.Resampling.LANCZOS)
    pixels = np.array(image, dtype=np.uint8)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _reason(data: bytes, error: Exception) -> str:
    """Return why an image cannot be decoded: it is of another kind, or else what Pillow says."""
    if data.startswith((b"\x89PNG\r\n", b"\xff\xd8\xff")):
        return " ".join(str(error).split())[:80]
    return reason_for(data, error)


def _centre(image: Image.Image, *, crop: int | None) -> Image.Image:
    """The largest centred square, of at most `crop` pixels."""
    side = min(*image.size, *(() if crop is None else (crop,)))
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def _plain(image: Image.Image, *, channels: int | None) -> Image.Image:
    """The image in mode L or RGB."""
    if image.mode.startswith(("I", "F")):
        raise BadSignals(f"has more than 8 bits a channel (mode {image.mode}); convert it to 8 bits")
    grey = channels == GREY or (channels is None and image.mode in ("L", "LA", "1"))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema()[0] != 255:
            raise BadSignals("is partly transparent; flatten it onto a background")
    return image.convert("L" if grey else "RGB")
