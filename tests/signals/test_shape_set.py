"""Laws of sets of shapes: what is inside is inside, held-out points are never fitted, bad sets are refused."""

from dataclasses import replace

import numpy as np
import pytest

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadSignals
from nefstudy.signals.check import check
from nefstudy.signals.shape_set import FITTED, HELD_OUT, both_sides, sample_solid, shape_set
from nefstudy.signals.signal import Samples, Signals
from nefstudy.signals.solids import Part, Solid

BALL = Solid((Part("ball", (0, 0, 0), (0.6, 0.6, 0.6)),))


def balls(count: int = 12) -> Signals:
    samples = [sample_solid(BALL, rng=np.random.default_rng(index)) for index in range(count)]
    return shape_set(
        samples,
        np.arange(count) % 2,
        config=SignalsConfig(name="balls"),
        class_names=("odd", "even"),
        license="none",
        source="drawn",
    )


def test_stored_points_are_on_the_side_they_say():
    """The first half of the fitted points is inside the solid, the second outside; held-out labels agree too."""
    samples = sample_solid(BALL, rng=np.random.default_rng(0))
    assert samples is not None
    assert samples.fitted.shape == (1, FITTED, 3)
    assert samples.held_out.shape == (1, HELD_OUT, 3)
    inside = BALL.occupied(samples.fitted[0].astype(np.float32))
    assert inside[: FITTED // 2].all()
    assert not inside[FITTED // 2 :].any()
    np.testing.assert_array_equal(BALL.occupied(samples.held_out[0].astype(np.float32)), samples.occupied[0])


def test_held_out_points_are_not_among_the_fitted_ones():
    """Of 4,096 held-out points hardly any is one that fits can draw, even after rounding to half precision."""
    samples = sample_solid(BALL, rng=np.random.default_rng(0))
    assert samples is not None
    fitted = set(map(tuple, samples.fitted[0].tolist()))
    assert sum(tuple(point) in fitted for point in samples.held_out[0].tolist()) <= 2


def test_held_out_points_measure_volume():
    """The occupied share of held-out points is the ball's volume over that of its box grown by the margin."""
    samples = sample_solid(BALL, rng=np.random.default_rng(5))
    assert samples is not None
    assert samples.occupied.mean() == pytest.approx(4 / 3 * np.pi * 0.6**3 / 1.4**3, abs=0.03)


def test_a_solid_too_small_to_find_is_none():
    """A speck, and a solid that fills everything, have no samples of both sides."""
    speck = Solid((Part("ball", (0, 0, 0), (1e-6, 1e-6, 1e-6)),))
    everything = Solid((Part("box", (0, 0, 0), (9, 9, 9)),))
    assert sample_solid(speck, rng=np.random.default_rng(0)) is None
    assert sample_solid(everything, rng=np.random.default_rng(0)) is None


def test_a_scarce_side_is_repeated_in_turn():
    """Three inside points serve for eight: each at least twice, none from the other side."""
    points = np.arange(60, dtype=np.float16).reshape(20, 3)
    inside = np.arange(20) < 3
    chosen = both_sides(points, inside, count=16, rng=np.random.default_rng(0))
    _, counts = np.unique(chosen[:8, 0], return_counts=True)
    assert sorted(counts) == [2, 3, 3]
    assert (chosen[8:, 0] >= 9).all()
    assert len(np.unique(chosen[8:, 0])) == 8


def test_targets_of_shapes_are_occupancies():
    """Targets are 1 inside and 0 outside, at each shape's own points of [-1, 1]^3."""
    signals = balls()
    rows = np.array([3, 0])
    targets, points = signals.targets(rows), signals.points(rows)
    assert (signals.in_dim, signals.out_dim, signals.size, signals.kind.strata) == (3, 1, FITTED, 2)
    assert targets.dtype == points.dtype == np.float32
    for place in range(2):
        np.testing.assert_array_equal(targets[place, :, 0] == 1, BALL.occupied(points[place]))
    assert set(np.unique(targets)) == {0, 1}
    assert (points[0] != points[1]).any()


def test_selecting_shapes_selects_their_points():
    """Rows taken from a set carry their own samples; the first few do too."""
    signals = balls()
    for part, rows in ((signals.select(np.array([5, 2])), [5, 2]), (signals.first(3), [0, 1, 2])):
        np.testing.assert_array_equal(part.points(np.arange(len(rows))), signals.points(np.array(rows)))
        np.testing.assert_array_equal(part.samples.occupied, signals.samples.occupied[rows])


def test_a_moved_point_changes_the_content():
    """The content hash covers fitted and held-out points, not only occupancies."""
    samples = [sample_solid(BALL, rng=np.random.default_rng(index)) for index in range(12)]
    words = {"config": SignalsConfig(name="balls"), "class_names": ("a", "b"), "license": "none", "source": "drawn"}
    hashes = {shape_set(samples, np.arange(12) % 2, **words).card.content_hash}
    for name in ("fitted", "held_out"):
        moved = getattr(samples[4], name).copy()
        moved[0, 0, 0] += np.float16(0.001)
        changed = [*samples[:4], replace(samples[4], **{name: moved}), *samples[5:]]
        hashes.add(shape_set(changed, np.arange(12) % 2, **words).card.content_hash)
    assert len(hashes) == 3


def test_no_shapes_are_refused():
    """An empty set is named as such, before any card is made."""
    with pytest.raises(BadSignals, match="there are no shapes"):
        shape_set([], np.arange(0), config=SignalsConfig(name="no"), class_names=("a", "b"), license="-", source="-")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: Samples(s.fitted[:, ::-1], s.held_out, s.occupied), "half inside, then half outside"),
        (lambda s: Samples(s.fitted * np.float16(2), s.held_out, s.occupied), r"outside \[-1, 1\]"),
        (lambda s: Samples(s.fitted, s.held_out * np.float16(np.nan), s.occupied), "not finite"),
        (lambda s: Samples(s.fitted[:, 1:], s.held_out, s.occupied), "one point of 3 coordinates per value"),
        (lambda _: None, "shapes come with samples"),
    ],
)
def test_samples_that_do_not_fit_the_values_are_refused(change, says: str):
    """A source of one's own that orders, scales or counts points differently is told so."""
    signals = balls()
    values = signals.values[:, ::-1] if "half" in says else signals.values
    samples = change(signals.samples)
    with pytest.raises(BadSignals, match=says):
        check(replace(signals, values=values, samples=samples), where="balls")
    check(signals, where="balls")
