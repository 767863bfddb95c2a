"""Tests of the figure of learned features, which shows each field as a point."""

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from safetensors.numpy import save

from nefstudy import seeds
from nefstudy.report.learned import Learned, draw_learned, load_learned, plane

CLASSES, EACH = 3, 20


def features(seed=0):
    """Return three tight clusters in twelve dimensions, in class order."""
    rng = seeds.stream(seed, "test", "features")
    centers = 5 * rng.standard_normal((CLASSES, 12))
    return (np.repeat(centers, EACH, axis=0) + 0.1 * rng.standard_normal((CLASSES * EACH, 12))).astype(np.float32)


LABELS = np.repeat(np.arange(CLASSES), EACH)


def test_stored_features_are_loaded(row):
    """Stored features and labels are loaded.

    If the file is damaged or contains non-finite values, the result is None.
    """
    learned = load_learned(row(), save({"features": features(), "labels": LABELS}))
    assert learned is not None
    assert np.array_equal(learned.features, features())
    assert np.array_equal(learned.labels, LABELS)
    assert load_learned(row(), b"torn") is None
    assert load_learned(row(), save({"features": features() * np.nan, "labels": LABELS})) is None
    assert load_learned(row(), save({"labels": LABELS})) is None


@pytest.mark.slow
def test_neighbors_stay_neighbors():
    """In the two-dimensional layout of features, each field's nearest neighbor has the same class as the field.

    The layout is reproducible to the bit.
    """
    layout = plane(features())
    distance = np.linalg.norm(layout[:, None] - layout[None], axis=2) + 1e9 * np.eye(len(layout))
    assert (LABELS[distance.argmin(axis=1)] == LABELS).all()
    assert np.array_equal(layout, plane(features()))
    assert not np.array_equal(layout, plane(features(seed=1)))


@pytest.mark.slow
@pytest.mark.parametrize("alike", [12, 11])
def test_equal_features_are_drawn(alike):
    """Equal or nearly equal features have finite coordinates in the two-dimensional layout.

    A classifier that learned nothing produces such features.
    """
    features = np.full((12, 4), 0.1, dtype=np.float32)
    features[alike:] = 3.0
    assert np.isfinite(plane(features)).all()


@pytest.mark.slow
def test_each_trial_has_a_panel_with_every_field(row):
    """Each trial has a panel that shows every field, with one color and label per class.

    The trial's accuracy and NMI are below the panel.
    """
    rows = [row(test_accuracy=0.75, metrics={"test_embedding_nmi": 0.5}), row(init="random", metrics={})]
    panels = draw_learned([Learned(each, features(), LABELS) for each in rows]).axes
    assert len(panels) == 2
    for axes in panels:
        drawn = [points for points in axes.collections if isinstance(points, PathCollection)]
        assert [len(np.asarray(points.get_offsets())) for points in drawn] == [EACH] * CLASSES
        assert len({tuple(points.get_facecolor()[0]) for points in drawn}) == CLASSES
        assert [text.get_text() for text in axes.texts] == ["0", "1", "2"]
    assert [axes.get_xlabel() for axes in panels] == [
        "gnn-sign, 75 steps, test 0.750, NMI 0.50",
        "gnn-sign, 75 steps, test 0.800",
    ]
    assert "random" in panels[1].get_title(loc="left")
