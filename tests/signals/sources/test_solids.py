"""Tests of solids: primitives have the volumes that their formulas give, and poses are similarity transforms."""

import numpy as np
import pytest

from nefstudy.signals.sources.solids import LEVELS, TOP, Kind, Part, Solid

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
def test_a_primitive_has_the_volume_of_its_formula(kind: Kind):
    """The volume of a primitive, measured with random points, is within 4 % of the volume that its formula gives.

    The primitive is rotated and off-center.
    """
    half = (0.5, 0.4, 0.3)
    volume = 8 * share(Solid((Part(kind, (0.1, -0.1, 0.05), half, TURN),)), count=100_000)
    assert volume == pytest.approx(VOLUMES[kind] * np.prod(half), rel=0.04)


@pytest.mark.parametrize("kind", LEVELS)
def test_a_primitive_is_within_its_extent(kind: Kind):
    """A rotated primitive occupies no point outside its bounding box, and many points inside the box."""
    solid = Solid((Part(kind, (0.1, 0, 0), (0.5, 0.2, 0.3), TURN),))
    low, high = solid.extent()
    points = np.random.default_rng(1).uniform(-1, 1, (20_000, 3)).astype(np.float32)
    within = ((points > low) & (points < high)).all(axis=1)
    inside = solid.occupied(points)
    assert not inside[~within].any()
    assert inside[within].mean() > 0.05


def test_a_solid_is_the_union_of_its_parts():
    """A point is inside a solid if and only if it is inside one of its parts."""
    parts = (Part("box", (-0.3, 0, 0), (0.4, 0.2, 0.2)), Part("ball", (0.3, 0, 0), (0.4, 0.4, 0.4)))
    points = np.random.default_rng(2).uniform(-1, 1, (5000, 3)).astype(np.float32)
    one, two = (Solid((part,)).occupied(points) for part in parts)
    np.testing.assert_array_equal(Solid(parts).occupied(points), one | two)
    assert (one & ~two).any()
    assert (two & ~one).any()


def test_a_pose_is_the_rotation_scaling_and_shift_of_points():
    """A posed solid contains the rotated, scaled and shifted points of the original solid.

    With another heading, it contains other points.
    """
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


def test_points_near_a_solid_are_on_both_sides():
    """Near a thin solid, comparable numbers of points are drawn inside and outside, despite its small volume."""
    solid = Solid((Part("tube", (0, 0, 0), (0.02, 0.02, 0.8)),))
    near = solid.near(np.random.default_rng(4), 4000).astype(np.float32)
    assert 0.25 < solid.occupied(near).mean() < 0.75
    assert share(solid) < 0.01
