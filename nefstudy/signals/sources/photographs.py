"""Sources of color patches from ten photographs that ship inside scikit-image and scikit-learn."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from nefstudy.config import SignalsConfig
from nefstudy.seeds import stream
from nefstudy.signals.files.bundled import bundled_file
from nefstudy.signals.image_set import image_set
from nefstudy.signals.signal import SPLITS, Signals, Split
from nefstudy.signals.sources.options import only_options


@dataclass(frozen=True)
class Photograph:
    """A photograph that forms one class: its package, path and license."""

    package: str
    parts: tuple[str, ...]
    license: str


def _skimage(name: str, license: str) -> Photograph:
    return Photograph("skimage", ("data", name), license)


def _sklearn(name: str, license: str) -> Photograph:
    return Photograph("sklearn", ("datasets", "images", name), license)


PHOTOGRAPHS: Mapping[str, Photograph] = {
    "astronaut": _skimage("astronaut.png", "public domain (NASA)"),
    "cat": _skimage("chelsea.png", "CC0 (Stefan van der Walt)"),
    "coffee": _skimage("coffee.png", "CC0 (Rachel Michetti)"),
    "flower": _sklearn("flower.jpg", "CC BY 2.0 (vultilion)"),
    "galaxies": _skimage("hubble_deep_field.jpg", "public domain (NASA)"),
    "motorcycle": _skimage("motorcycle_left.png", "CC0 (Middlebury 2014 stereo)"),
    "retina": _skimage("retina.jpg", "CC0 (Mikael Häggström)"),
    "rocket": _skimage("rocket.jpg", "public domain (SpaceX)"),
    "temple": _sklearn("china.jpg", "CC BY 2.0 (danielbuechele)"),
    "tissue": _skimage("ihc.png", "no known restrictions (CMMI)"),
}

SHORT_SIDE = 384
"""Length of the short side of every scaled photograph in pixels, so that patches show details of similar size."""

BLOCK = 96
"""Side in pixels of the squares that divide a photograph; each patch is in one square, each square in one split."""

PATCHES: Mapping[Split, int] = {"train": 360, "val": 40, "test": 100}
BLOCK_SHARES: Mapping[Split, float] = {"test": 0.2, "val": 0.12}


def photo_patches_32(config: SignalsConfig) -> Signals:
    """Cut 5,000 color patches of 32x32, 500 from each of ten photographs; splits use disjoint regions."""
    return _patches(config, side=32)


def photo_patches_64(config: SignalsConfig) -> Signals:
    """Cut 5,000 color patches of 64x64, 500 from each of ten photographs; splits use disjoint regions."""
    return _patches(config, side=64)


def _patches(config: SignalsConfig, *, side: int) -> Signals:
    only_options(config)
    values, labels, split = [], [], []
    for label, (name, photograph) in enumerate(PHOTOGRAPHS.items()):
        pixels = _pixels(photograph)
        for part, blocks in blocks_of(pixels, name=name, seed=config.split_seed).items():
            values.append(_cut(pixels, blocks, side=side, count=PATCHES[part], name=f"{name}/{part}", config=config))
            labels += [label] * PATCHES[part]
            split += [SPLITS[part]] * PATCHES[part]
    licenses = "; ".join(f"{name}: {photograph.license}" for name, photograph in PHOTOGRAPHS.items())
    return image_set(
        np.concatenate(values),
        np.array(labels),
        config=config,
        class_names=tuple(PHOTOGRAPHS),
        license=licenses,
        source=f"{len(PHOTOGRAPHS)} photographs of scikit-image and scikit-learn",
        split=np.array(split),
    )


def _pixels(photograph: Photograph) -> UInt8[np.ndarray, "H W 3"]:
    with Image.open(bundled_file(photograph.package, *photograph.parts)) as image:
        scale = SHORT_SIDE / min(image.size)
        size = (round(image.width * scale), round(image.height * scale))
        return np.asarray(image.convert("RGB").resize(size, Image.Resampling.LANCZOS))


def blocks_of(pixels: UInt8[np.ndarray, "H W 3"], *, name: str, seed: int) -> dict[Split, list[tuple[int, int]]]:
    """Return the (top, left) corners of each split's blocks, in random order; no block is in two splits."""
    corners = [
        (top, left)
        for top in range(0, pixels.shape[0] - BLOCK + 1, BLOCK)
        for left in range(0, pixels.shape[1] - BLOCK + 1, BLOCK)
    ]
    order = [corners[index] for index in stream(seed, "photograph blocks", name).permutation(len(corners))]
    test = round(BLOCK_SHARES["test"] * len(order))
    val = round(BLOCK_SHARES["val"] * len(order))
    return {"train": order[test + val :], "val": order[test : test + val], "test": order[:test]}


def _cut(
    pixels: UInt8[np.ndarray, "H W 3"],
    blocks: list[tuple[int, int]],
    *,
    side: int,
    count: int,
    name: str,
    config: SignalsConfig,
) -> UInt8[np.ndarray, "n side side 3"]:
    """Cut patches at distinct positions, each inside one of the blocks."""
    steps = BLOCK - side + 1
    rng = stream(config.split_seed, "photograph patches", side, name)
    positions = rng.choice(len(blocks) * steps * steps, size=count, replace=False)
    patches = np.empty((count, side, side, 3), dtype=np.uint8)
    for row, position in enumerate(positions):
        block, offset = divmod(int(position), steps * steps)
        top, left = blocks[block][0] + offset // steps, blocks[block][1] + offset % steps
        patches[row] = pixels[top : top + side, left : left + side]
    return patches
