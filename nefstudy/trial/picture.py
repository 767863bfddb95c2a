"""The picture of a trial: originals above, what the fields reconstruct below."""

import io
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from PIL import Image

GAP = 2


def contact_sheet(rows: Sequence[Float[np.ndarray, "n H W C"]], *, zoom: int = 2) -> bytes:
    """PNG bytes of image rows under each other; values on [0, 1], one or three channels."""
    lines = [_line(images) for images in rows]
    gap = np.ones((GAP, *lines[0].shape[1:]), dtype=np.float32)
    sheet = np.concatenate([piece for line in lines for piece in (line, gap)][:-1], axis=0)
    pixels = np.round(np.clip(sheet, 0, 1) * 255).astype(np.uint8)
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    image = image.resize((image.width * zoom, image.height * zoom), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _line(images: Float[np.ndarray, "n H W C"]) -> Float[np.ndarray, "H W2 C"]:
    gap = np.ones((images.shape[1], GAP, images.shape[3]), dtype=np.float32)
    return np.concatenate([piece for image in images for piece in (image, gap)][:-1], axis=1)
