"""Tests of the source `shapes10`, whose solids belong to ten parametric categories."""

import numpy as np
import pytest

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadConfig, BadSignals
from nefstudy.signals.catalog import load_signals
from nefstudy.signals.shape_set import sample_solid
from nefstudy.signals.sources import shapes10 as module
from nefstudy.signals.sources.shapes10 import MAKERS, solid_samples

from ...present import present

FEW = SignalsConfig(name="shapes10", options={"per_class": 3})


def test_every_solid_has_points_inside_and_outside():
    """Every solid of every category has held-out points both inside and outside."""
    signals = load_signals(FEW)
    assert (signals.card.kind, signals.kind.metrics, signals.card.grid) == ("shape", ("iou",), (32, 32, 32))
    assert (np.bincount(present(signals.labels)) == 3).all()
    assert signals.card.class_names == tuple(MAKERS)
    share = present(signals.samples).occupied.mean(axis=1)
    assert share.min() > 0.005
    assert share.max() < 0.9


def test_a_solid_depends_on_its_category_and_index_only():
    """A solid is determined by its category and its index."""
    one, again, other = solid_samples("lamp", 4), solid_samples("lamp", 4), solid_samples("lamp", 5)
    np.testing.assert_array_equal(one.fitted, again.fitted)
    assert (one.fitted != other.fitted).any()
    blocks = [present(samples.pools)[0].block(5)[0] for samples in (one, again, other)]
    np.testing.assert_array_equal(blocks[0], blocks[1])
    assert (blocks[0] != blocks[2]).any()


def test_every_block_of_a_pool_is_of_the_same_solid():
    """The first and last blocks of a pool lie in the same box, and have points on both sides of its surface."""
    for name in MAKERS:
        pool = present(solid_samples(name, 1).pools)[0]
        first, last = (np.array([side.max(axis=0) for side in pool.block(n)[:1]]) for n in (0, pool.blocks - 1))
        np.testing.assert_allclose(first, last, atol=0.06)


def test_another_split_seed_divides_the_same_solids():
    """The split seed moves solids between splits without changing them."""
    one, two = (load_signals(FEW.model_copy(update={"split_seed": seed})) for seed in (1, 2))
    order = [np.argsort(signals.ids) for signals in (one, two)]
    np.testing.assert_array_equal(present(one.samples).fitted[order[0]], present(two.samples).fitted[order[1]])
    assert (present(one.split)[order[0]] != present(two.split)[order[1]]).any()


def test_empty_draws_are_retried_and_then_refused(monkeypatch: pytest.MonkeyPatch):
    """If a drawn solid is empty, it is replaced by the next draw.

    If all draws are empty, the error names the category.
    """
    drawn = []

    def first_is_empty(draw):
        drawn.append(draw(0))
        return None if len(drawn) == 1 else sample_solid(draw)

    monkeypatch.setattr(module, "sample_solid", first_is_empty)
    assert solid_samples("table", 0) is not None
    assert len(drawn) == 2
    monkeypatch.setattr(module, "sample_solid", lambda _draw: None)
    with pytest.raises(BadSignals, match=r"table 0 .*20 draws"):
        solid_samples("table", 0)


@pytest.mark.parametrize("per_class", [2, 20_000, "many"])
def test_a_size_out_of_range_is_refused(per_class):
    """A number of signals per class is rejected if it is below 3, above 10,000 or not a number."""
    with pytest.raises(BadConfig, match=f"{per_class}.*3 to 10000"):
        load_signals(FEW.model_copy(update={"options": {"per_class": per_class}}))


@pytest.mark.slow
def test_a_nearest_neighbor_separates_categories():
    """Nearest-neighbor classification of voxels is far above chance, so the categories are learnable."""
    from nefstudy.signals.show import features

    signals = load_signals(SignalsConfig(name="shapes10", options={"per_class": 12}))
    voxels = features(signals)
    train = signals.split == 0
    distance = np.square(voxels[~train][:, None] - voxels[train][None]).sum(axis=-1)
    labels = present(signals.labels)
    predicted = labels[train][distance.argmin(axis=1)]
    assert (predicted == labels[~train]).mean() > 0.5
