"""Laws of the photograph patches: real pixels, equal classes, regions that no two splits share."""

import numpy as np
import pytest

from nefstudy.config import SignalsConfig
from nefstudy.signals.catalog import load_signals
from nefstudy.signals.photographs import BLOCK, PHOTOGRAPHS, SHORT_SIDE, _cut, blocks_of

SHAPE = (SHORT_SIDE, 576, 3)


def places() -> np.ndarray:
    """An image whose pixels spell their own place: row, column, and which 256s they lie in."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return np.stack([rows % 256, columns % 256, rows // 256 * 16 + columns // 256], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("side", [32, pytest.param(64, marks=pytest.mark.slow)])
def test_ten_photographs_give_five_hundred_patches_each(side: int):
    """5,000 colour patches, split 360/40/100 in every class."""
    signals = load_signals(SignalsConfig(name=f"photo-patches-{side}"))
    assert signals.values.shape == (5000, side, side, 3)
    assert signals.card.class_names == tuple(PHOTOGRAPHS)
    counts = np.bincount(signals.labels * 3 + signals.split).reshape(10, 3)
    np.testing.assert_array_equal(counts, [[360, 40, 100]] * 10)


def test_blocks_cover_a_photograph_once():
    """Every whole block serves exactly one split, a fifth of them to test, and another seed draws others."""
    blocks = blocks_of(places(), name="x", seed=1)
    flat = [corner for part in blocks.values() for corner in part]
    assert len(flat) == len(set(flat)) == (SHAPE[0] // BLOCK) * (SHAPE[1] // BLOCK)
    assert {part: len(corners) for part, corners in blocks.items()} == {"train": 16, "val": 3, "test": 5}
    assert blocks != blocks_of(places(), name="x", seed=2)


@pytest.mark.parametrize("side", [32, 64])
def test_no_pixel_serves_two_splits(side: int):
    """Patches cut from an image that spells places show that the splits' pixels are disjoint, and patches distinct."""
    config = SignalsConfig(name="photo-patches-32")
    pixels = places()
    seen = {}
    for part, blocks in blocks_of(pixels, name="x", seed=1).items():
        patches = _cut(pixels, blocks, side=side, count=60, name=part, config=config)
        assert len({patch.tobytes() for patch in patches}) == 60
        seen[part] = np.unique(patches.reshape(-1, 3).astype(np.int64) @ [1, 256, 65536])
    for one, two in [("train", "val"), ("train", "test"), ("val", "test")]:
        assert not np.isin(seen[one], seen[two]).any()


@pytest.mark.slow
def test_the_split_seed_draws_other_patches():
    """Two split seeds give two sets."""
    one, two = (load_signals(SignalsConfig(name="photo-patches-32", split_seed=seed)) for seed in (1, 2))
    assert one.card.content_hash != two.card.content_hash
