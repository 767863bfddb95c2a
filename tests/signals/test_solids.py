"""Laws of solids: primitives by hand, poses that keep a solid what it is."""

import numpy as np
import pytest

from nefstudy.signals.solids import LEVELS, TOP, Kind, Part, Solid

VOLUMES: dict[Kind, float] = {
    "box": 8.0,
    "ball": 4 / 3 * np.pi,
    "tube": 2 * np.pi,
    "cone": 2 * np.pi * (1 + TOP + TOP**2) / 3,
}
TURN = (0.3, -0.5, 1.1)


def share(solid: Solid, *, count: int = 20_000) -> float:
    points = np.random.default_rng(0).uniform(-1, 1, (count, 3)).astype(np.float32)
    return float(solid.occupied(points).mean())


@pytest.mark.parametrize("kind", LEVELS)
def test_a_primitive_has_the_volume_geometry_gives_it(kind: Kind):
    """Monte Carlo volume of each primitive, turned and off-centre, is the closed formula's within 4 %."""
    half = (0.5, 0.4, 0.3)
    found = 8 * share(Solid((Part(kind, (0.1, -0.1, 0.05), half, TURN),)), count=100_000)
    assert found == pytest.approx(VOLUMES[kind] * np.prod(half), rel=0.04)


@pytest.mark.parametrize("kind", LEVELS)
def test_a_primitive_lies_within_its_extent(kind: Kind):
    """No point outside the box around a turned primitive is occupied, and many inside it are."""
    solid = Solid((Part(kind, (0.1, 0, 0), (0.5, 0.2, 0.3), TURN),))
    low, high = solid.extent()
    points = np.random.default_rng(1).uniform(-1, 1, (20_000, 3)).astype(np.float32)
    within = ((points > low) & (points < high)).all(axis=1)
    inside = solid.occupied(points)
    assert not inside[~within].any()
    assert inside[within].mean() > 0.05


def test_a_union_holds_what_any_part_holds():
    """A solid's points are exactly those of one part or another."""
    parts = (Part("box", (-0.3, 0, 0), (0.4, 0.2, 0.2)), Part("ball", (0.3, 0, 0), (0.4, 0.4, 0.4)))
    points = np.random.default_rng(2).uniform(-1, 1, (5000, 3)).astype(np.float32)
    one, two = (Solid((part,)).occupied(points) for part in parts)
    np.testing.assert_array_equal(Solid(parts).occupied(points), one | two)
    assert (one & ~two).any()
    assert (two & ~one).any()


def test_a_pose_is_the_rotation_scaling_and_shift_of_points():
    """A posed solid occupies the image of a point exactly where the solid occupied the point; another heading not."""
    solid = Solid(
        (Part("box", (0.2, 0.1, 0), (0.5, 0.2, 0.1), (0.2, 0.1, 0.4)), Part("cone", (0, 0, 0.3), (0.2, 0.2, 0.3)))
    )
    at = np.array([0.05, -0.02, 0.01])
    posed = solid.posed(size=1.2, at=at, heading=0.4)
    low, high = posed.extent()
    assert (high - low).max() == pytest.approx(1.2)
    np.testing.assert_allclose((low + high) / 2, at, atol=1e-9)

    turned = solid.posed(size=1.2, at=np.zeros(3), heading=0.4)
    moved = solid.posed(size=1.2, at=at, heading=0.4)
    points = np.random.default_rng(3).uniform(-1, 1, (5000, 3))
    same = turned.occupied(points.astype(np.float32)) == moved.occupied((points + at).astype(np.float32))
    assert same.mean() > 0.999
    other = solid.posed(size=1.2, at=at, heading=-0.4).occupied((points + at).astype(np.float32))
    assert (turned.occupied(points.astype(np.float32)) == other).mean() < 0.99


def test_points_near_a_solid_lie_on_both_sides():
    """Points drawn about a thin solid are inside and outside in comparable numbers, though it fills little."""
    solid = Solid((Part("tube", (0, 0, 0), (0.02, 0.02, 0.8)),))
    near = solid.near(np.random.default_rng(4), 4000).astype(np.float32)
    assert 0.25 < solid.occupied(near).mean() < 0.75
    assert share(solid) < 0.01
