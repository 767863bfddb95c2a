"""Laws of the picture of learned features: every field is drawn, classes stay apart, nothing is drawn of nothing."""

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from safetensors.numpy import save

from nefstudy import seeds
from nefstudy.report.learned import Learned, draw_learned, learned_by, plane

CLASSES, EACH = 3, 20


def features(seed=0):
    """Three tight clusters in twelve dimensions, in class order."""
    rng = seeds.stream(seed, "test", "features")
    centres = 5 * rng.standard_normal((CLASSES, 12))
    return (np.repeat(centres, EACH, axis=0) + 0.1 * rng.standard_normal((CLASSES * EACH, 12))).astype(np.float32)


LABELS = np.repeat(np.arange(CLASSES), EACH)


def test_what_a_trial_kept_is_read_back(row):
    """The file's features and labels come back; another file is none."""
    found = learned_by(row(), save({"features": features(), "labels": LABELS}))
    assert found is not None
    assert np.array_equal(found.features, features())
    assert np.array_equal(found.labels, LABELS)
    assert learned_by(row(), b"torn") is None
    assert learned_by(row(), save({"features": features() * np.nan, "labels": LABELS})) is None
    assert learned_by(row(), save({"labels": LABELS})) is None


@pytest.mark.slow
def test_neighbours_stay_neighbours():
    """Each field's nearest in the plane is of its own class, and the layout repeats bit for bit."""
    laid = plane(features())
    distance = np.linalg.norm(laid[:, None] - laid[None], axis=2) + 1e9 * np.eye(len(laid))
    assert (LABELS[distance.argmin(axis=1)] == LABELS).all()
    assert np.array_equal(laid, plane(features()))
    assert not np.array_equal(laid, plane(features(seed=1)))


@pytest.mark.slow
@pytest.mark.parametrize("alike", [12, 11])
def test_features_alike_are_drawn_too(alike):
    """A classifier that learned nothing, or next to nothing, has a picture as well, of finite points."""
    features = np.full((12, 4), 0.1, dtype=np.float32)
    features[alike:] = 3.0
    assert np.isfinite(plane(features)).all()


@pytest.mark.slow
def test_each_trial_has_a_panel_with_every_field(row):
    """A panel a trial, a colour a class, each label named once, accuracy and NMI below."""
    rows = [row(test_accuracy=0.75, metrics={"test_embedding_nmi": 0.5}), row(init="random", metrics={})]
    panels = draw_learned([Learned(each, features(), LABELS) for each in rows]).axes
    assert len(panels) == 2
    for axes in panels:
        drawn = [found for found in axes.collections if isinstance(found, PathCollection)]
        assert [len(found.get_offsets()) for found in drawn] == [EACH] * CLASSES
        assert len({tuple(found.get_facecolor()[0]) for found in drawn}) == CLASSES
        assert [text.get_text() for text in axes.texts] == ["0", "1", "2"]
    assert [axes.get_xlabel() for axes in panels] == [
        "gnn-sign, 75 steps, test 0.750, NMI 0.50",
        "gnn-sign, 75 steps, test 0.800",
    ]
    assert "random" in panels[1].get_title(loc="left")
