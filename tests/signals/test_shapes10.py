"""Laws of the ten parametric categories."""

import numpy as np
import pytest

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadConfig, BadSignals
from nefstudy.signals import shapes10 as module
from nefstudy.signals.catalog import load_signals
from nefstudy.signals.shapes10 import MAKERS, solid_samples

FEW = SignalsConfig(name="shapes10", options={"per_class": 3})


def test_every_category_can_be_told_inside_from_outside():
    """Three solids of each of ten categories, each with a share of held-out points inside but not all."""
    signals = load_signals(FEW)
    assert (signals.card.kind, signals.kind.metrics, signals.card.grid) == ("shape", ("iou",), (32, 32, 32))
    assert (np.bincount(signals.labels) == 3).all()
    assert signals.card.class_names == tuple(MAKERS)
    share = signals.samples.occupied.mean(axis=1)
    assert share.min() > 0.005
    assert share.max() < 0.9


def test_the_same_solid_comes_whatever_was_asked_before():
    """A solid depends on its category and number only; its neighbour differs."""
    one, again, other = solid_samples("lamp", 4), solid_samples("lamp", 4), solid_samples("lamp", 5)
    np.testing.assert_array_equal(one.fitted, again.fitted)
    assert (one.fitted != other.fitted).any()


def test_another_split_seed_divides_the_same_solids():
    """The split seed moves solids between the splits and changes none of them."""
    one, two = (load_signals(FEW.model_copy(update={"split_seed": seed})) for seed in (1, 2))
    order = [np.argsort(signals.ids) for signals in (one, two)]
    np.testing.assert_array_equal(one.samples.fitted[order[0]], two.samples.fitted[order[1]])
    assert (one.split[order[0]] != two.split[order[1]]).any()


def test_empty_draws_are_drawn_again_and_then_refused(monkeypatch: pytest.MonkeyPatch):
    """A draw without a solid is replaced by the next one; a maker that never gives one is named."""
    drawn = []
    real = module.sample_solid

    def first_is_empty(body, *, rng):
        drawn.append(body)
        return None if len(drawn) == 1 else real(body, rng=rng)

    monkeypatch.setattr(module, "sample_solid", first_is_empty)
    assert solid_samples("table", 0) is not None
    assert len(drawn) == 2
    monkeypatch.setattr(module, "sample_solid", lambda *_, **__: None)
    with pytest.raises(BadSignals, match="table 0 stayed empty in 20 draws"):
        solid_samples("table", 0)


@pytest.mark.parametrize("per_class", [2, 20_000, "many"])
def test_a_size_out_of_range_is_refused(per_class):
    """A class needs three signals to be split; more than 10,000 a class is a slip."""
    with pytest.raises(BadConfig, match="from 3 to 10000"):
        load_signals(FEW.model_copy(update={"options": {"per_class": per_class}}))


@pytest.mark.slow
def test_a_nearest_neighbour_tells_categories_apart():
    """Categories are learnable but not trivial: voxels' nearest neighbour is far above chance."""
    from nefstudy.signals.show import features

    signals = load_signals(SignalsConfig(name="shapes10", options={"per_class": 12}))
    voxels = features(signals)
    train = signals.split == 0
    distance = np.square(voxels[~train][:, None] - voxels[train][None]).sum(axis=-1)
    found = signals.labels[train][distance.argmin(axis=1)]
    assert (found == signals.labels[~train]).mean() > 0.5
