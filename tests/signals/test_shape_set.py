"""Tests of shape sets: their fitted and held-out points, and the rejection of invalid sets."""

from dataclasses import replace

import numpy as np
import pytest

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadSignals
from nefstudy.signals.check import check
from nefstudy.signals.samples import Samples
from nefstudy.signals.shape_set import FITTED, HELD_OUT, POOL, balanced, both_sides, sample_solid, shape_set
from nefstudy.signals.signal import Signals
from nefstudy.signals.sources.solids import Part, Solid

from ..present import present

BALL = Solid((Part("ball", (0, 0, 0), (0.6, 0.6, 0.6)),))


def sampled(body: Solid = BALL, *, seed: int = 0) -> Samples | None:
    return sample_solid(lambda block: (body, np.random.default_rng([seed, block])))


def balls(count: int = 12) -> Signals:
    samples = [present(sampled(seed=index)) for index in range(count)]
    return shape_set(
        samples,
        np.arange(count) % 2,
        config=SignalsConfig(name="balls"),
        class_names=("odd", "even"),
        license="none",
        source="drawn",
    )


def test_stored_points_are_on_their_declared_side():
    """The first half of the fitted points is inside the solid, and the second half is outside.

    The occupancies of the held-out points are exact.
    """
    samples = present(sampled())
    assert samples.fitted.shape == (1, FITTED, 3)
    assert samples.held_out.shape == (1, HELD_OUT, 3)
    inside = BALL.occupied(samples.fitted[0].astype(np.float32))
    assert inside[: FITTED // 2].all()
    assert not inside[FITTED // 2 :].any()
    np.testing.assert_array_equal(BALL.occupied(samples.held_out[0].astype(np.float32)), samples.occupied[0])


def test_held_out_points_are_not_among_the_fitted_ones():
    """At most 2 of 4,096 held-out points are also fitted points, even after rounding to half precision."""
    samples = present(sampled())
    fitted = set(map(tuple, samples.fitted[0].tolist()))
    assert sum(tuple(point) in fitted for point in samples.held_out[0].tolist()) <= 2


def test_held_out_points_measure_volume():
    """The share of held-out points inside a solid measures its volume.

    It is the volume of the ball divided by that of the enlarged bounding box.
    """
    samples = present(sampled(seed=5))
    assert samples.occupied.mean() == pytest.approx(4 / 3 * np.pi * 0.6**3 / 1.4**3, abs=0.03)


def test_points_away_from_the_surface_are_fitted_where_iou_is_measured():
    """More than a fifth of the points outside a thin cross lie between its arms."""
    arms = (Part("box", (0, 0, 0), (0.5, 0.02, 0.02)), Part("box", (0, 0, 0), (0.02, 0.5, 0.02)))
    samples = present(sampled(Solid(arms)))
    for points in (samples.fitted[0, FITTED // 2 :], present(samples.pools)[0].block(0)[1]):
        x, y, z = np.abs(points.astype(np.float32)).T
        assert ((x > 0.1) & (y > 0.1) & (np.maximum(x, y) < 0.6) & (z < 0.12)).mean() > 0.2


def test_a_solid_without_two_sides_has_no_samples():
    """A solid that is too small, or that fills the whole volume, has no samples."""
    speck = Solid((Part("ball", (0, 0, 0), (1e-6, 1e-6, 1e-6)),))
    everything = Solid((Part("box", (0, 0, 0), (9, 9, 9)),))
    assert sampled(speck) is None
    assert sampled(everything) is None


def test_a_pool_holds_new_points_of_its_solid_on_both_sides():
    """The pool of a solid has 131,072 points, half of them inside. A block is always made the same.

    At most 1 in 1,000 points of stored points and pool together occurs twice.
    """
    samples = present(sampled())
    pool = present(samples.pools)[0]
    assert pool.size == POOL == 131_072
    blocks = [pool.block(number) for number in range(pool.blocks)]
    for number, sides in enumerate(blocks):
        assert tuple(map(len, sides)) == pool.sizes == (FITTED // 2,) * 2
        for side, again, is_inside in zip(sides, pool.block(number), (True, False), strict=True):
            np.testing.assert_array_equal(side, again)
            assert (BALL.occupied(side.astype(np.float32)) == is_inside).all()
    points = np.concatenate([samples.fitted[0], *(np.concatenate(sides) for sides in blocks)])
    assert len(np.unique(points, axis=0)) > 0.999 * (FITTED + POOL)


def test_points_of_a_scarce_side_are_cycled():
    """If a solid has too few inside points, they are repeated about equally often.

    If three inside points must fill eight places, each is used two or three times.
    """
    points = np.arange(60, dtype=np.float16).reshape(20, 3)
    inside = np.arange(20) < 3
    chosen = np.concatenate(balanced(both_sides(points, inside, rng=np.random.default_rng(0)), count=16))
    _, counts = np.unique(chosen[:8, 0], return_counts=True)
    assert sorted(counts) == [2, 3, 3]
    assert (chosen[8:, 0] >= 9).all()
    assert len(np.unique(chosen[8:, 0])) == 8


def test_targets_of_shapes_are_occupancies():
    """The targets of a shape are 1 at points inside it and 0 at points outside it.

    Each shape has its own points.
    """
    signals = balls()
    rows = np.array([3, 0])
    targets, points = signals.targets(rows), signals.coords(rows)
    assert (signals.in_dim, signals.out_dim, signals.size, signals.kind.strata) == (3, 1, FITTED, 2)
    assert targets.dtype == points.dtype == np.float32
    for place in range(2):
        np.testing.assert_array_equal(targets[place, :, 0] == 1, BALL.occupied(points[place]))
    assert set(np.unique(targets)) == {0, 1}
    assert (points[0] != points[1]).any()


def test_selecting_shapes_selects_their_points():
    """Selecting shapes of a set also selects their samples."""
    signals = balls()
    for part, rows in ((signals.select(np.array([5, 2])), [5, 2]), (signals.first(3), [0, 1, 2])):
        np.testing.assert_array_equal(part.coords(np.arange(len(rows))), signals.coords(np.array(rows)))
        np.testing.assert_array_equal(present(part.samples).occupied, present(signals.samples).occupied[rows])
        assert list(present(present(part.samples).pools)) == list(present(present(signals.samples).pools)[rows])


def test_a_moved_point_changes_the_content():
    """The content hash covers fitted and held-out points and the identity of pools, not only occupancies."""
    samples = [present(sampled(seed=index)) for index in range(12)]
    config = SignalsConfig(name="balls")

    def content_hash(samples: list[Samples]) -> str:
        shapes = shape_set(
            samples, np.arange(12) % 2, config=config, class_names=("a", "b"), license="none", source="drawn"
        )
        return shapes.card.content_hash

    hashes = {content_hash(samples)}
    for name in ("fitted", "held_out"):
        moved = getattr(samples[4], name).copy()
        moved[0, 0, 0] += np.float16(0.001)
        changed = [*samples[:4], replace(samples[4], **{name: moved}), *samples[5:]]
        hashes.add(content_hash(changed))
    other = np.array([replace(present(samples[4].pools)[0], identity="other")])
    hashes.add(content_hash([*samples[:4], replace(samples[4], pools=other), *samples[5:]]))
    hashes.add(content_hash([replace(each, pools=None) for each in samples]))
    assert len(hashes) == 5


def test_no_shapes_are_refused():
    """An empty set of shapes is rejected."""
    with pytest.raises(BadSignals, match="no shapes"):
        shape_set([], np.arange(0), config=SignalsConfig(name="no"), class_names=("a", "b"), license="-", source="-")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: Samples(s.fitted[:, ::-1], s.held_out, s.occupied), "half inside"),
        (lambda s: Samples(s.fitted * np.float16(2), s.held_out, s.occupied), r"outside \[-1, 1\]"),
        (lambda s: Samples(s.fitted, s.held_out * np.float16(np.nan), s.occupied), "finite"),
        (lambda s: Samples(s.fitted[:, 1:], s.held_out, s.occupied), "3 coordinates"),
        (lambda s: replace(s, pools=s.pools[1:]), "11 pools .*12 shapes"),
        (lambda _: None, "shapes .*samples"),
    ],
)
def test_samples_that_do_not_match_the_values_are_refused(change, says: str):
    """If a source orders, scales or counts its points incorrectly, the error states the cause."""
    signals = balls()
    values = signals.values[:, ::-1] if "half" in says else signals.values
    samples = change(signals.samples)
    with pytest.raises(BadSignals, match=says):
        check(replace(signals, values=values, samples=samples), where="balls")
    check(signals, where="balls")
