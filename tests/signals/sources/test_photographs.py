"""Tests of photograph patches: classes have equal size, and splits share no region."""

import numpy as np
import pytest

from nefstudy.config import SignalsConfig
from nefstudy.signals.catalog import load_signals
from nefstudy.signals.signal import Split
from nefstudy.signals.sources.photographs import BLOCK, PHOTOGRAPHS, SHORT_SIDE, _cut, blocks_of

from ...present import present

SHAPE = (SHORT_SIDE, 576, 3)


def positions() -> np.ndarray:
    """Return an image whose pixels encode their own row and column."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return np.stack([rows % 256, columns % 256, rows // 256 * 16 + columns // 256], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("side", [32, pytest.param(64, marks=pytest.mark.slow)])
def test_ten_photographs_give_five_hundred_patches_each(side: int):
    """Each of ten photographs is a class of 500 color patches, split 360 / 40 / 100."""
    signals = load_signals(SignalsConfig(name=f"photo-patches-{side}"))
    assert signals.values.shape == (5000, side, side, 3)
    assert signals.card.class_names == tuple(PHOTOGRAPHS)
    counts = np.bincount(present(signals.labels) * 3 + present(signals.split)).reshape(10, 3)
    np.testing.assert_array_equal(counts, [[360, 40, 100]] * 10)


def test_blocks_cover_a_photograph_once():
    """Every complete block of a photograph is in exactly one split.

    A fifth of the blocks are in test, and another seed draws other test blocks.
    """
    blocks = blocks_of(positions(), name="x", seed=1)
    flat = [corner for part in blocks.values() for corner in part]
    assert len(flat) == len(set(flat)) == (SHAPE[0] // BLOCK) * (SHAPE[1] // BLOCK)
    assert {part: len(corners) for part, corners in blocks.items()} == {"train": 16, "val": 3, "test": 5}
    assert blocks != blocks_of(positions(), name="x", seed=2)


@pytest.mark.parametrize("side", [32, 64])
def test_no_pixel_is_in_two_splits(side: int):
    """Patches of different splits share no pixels.

    The pixels of the image encode positions and are therefore distinct, as are the patches of each split.
    """
    config = SignalsConfig(name="photo-patches-32")
    pixels = positions()
    seen = {}
    for part, blocks in blocks_of(pixels, name="x", seed=1).items():
        patches = _cut(pixels, blocks, side=side, count=60, name=part, config=config)
        assert len({patch.tobytes() for patch in patches}) == 60
        seen[part] = np.unique(patches.reshape(-1, 3).astype(np.int64) @ [1, 256, 65536])
    pairs: list[tuple[Split, Split]] = [("train", "val"), ("train", "test"), ("val", "test")]
    for one, two in pairs:
        assert not np.isin(seen[one], seen[two]).any()


@pytest.mark.slow
def test_the_split_seed_draws_other_patches():
    """A different split seed draws different patches, which changes the content hash."""
    one, two = (load_signals(SignalsConfig(name="photo-patches-32", split_seed=seed)) for seed in (1, 2))
    assert one.card.content_hash != two.card.content_hash
