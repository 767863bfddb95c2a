"""Pictures: contact sheets of images, and projections of a shape's points."""

import io
from collections.abc import Sequence
from math import cos, radians, sin

import numpy as np
from jaxtyping import Float
from PIL import Image

GAP = 2
SIDE = 40
"""Side of a shape's picture in pixels; at a higher resolution, gaps between points would show."""

YAW, PITCH = radians(35), radians(25)
DARKEST = 0.25
"""Brightness of the farthest point; the background is black."""


def view(points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "H W 1"]:
    """Draw points in [-1, 1]^3 as seen obliquely from the front and above, with nearer points brighter."""
    x, y, z = points.T
    across, away = x * cos(YAW) - y * sin(YAW), x * sin(YAW) + y * cos(YAW)
    up, away = z * cos(PITCH) + away * sin(PITCH), away * cos(PITCH) - z * sin(PITCH)
    reach = 1.2
    column, row = (np.clip((value / reach + 1) / 2 * SIDE, 0, SIDE - 1).astype(np.int64) for value in (across, -up))
    image = np.zeros((SIDE, SIDE, 1), dtype=np.float32)
    bright = np.clip(DARKEST + (1 - DARKEST) * (1 - away / reach) / 2, DARKEST, 1)
    np.maximum.at(image[..., 0], (row, column), bright)
    return image


def contact_sheet(rows: Sequence[Float[np.ndarray, "n H W C"]], *, zoom: int = 2) -> bytes:
    """Return a PNG of rows of images that have values in [0, 1] and one or three channels; NaN is black."""
    lines = [_line(images) for images in rows]
    gap = np.ones((GAP, *lines[0].shape[1:]), dtype=np.float32)
    sheet = np.concatenate([piece for line in lines for piece in (line, gap)][:-1], axis=0)
    pixels = np.round(np.clip(np.nan_to_num(sheet), 0, 1) * 255).astype(np.uint8)
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    image = image.resize((image.width * zoom, image.height * zoom), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _line(images: Float[np.ndarray, "n H W C"]) -> Float[np.ndarray, "H W2 C"]:
    gap = np.ones((images.shape[1], GAP, images.shape[3]), dtype=np.float32)
    return np.concatenate([piece for image in images for piece in (image, gap)][:-1], axis=1)
