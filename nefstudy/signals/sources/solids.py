"""Solids as unions of primitives: occupancy, and points near the surface."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import cos, sin
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

Kind = Literal["box", "ball", "tube", "cone"]
Number = float | int
Triple = tuple[Number, Number, Number]

REACH = 1.25
"""Range of points drawn near a primitive's surface, in half extents."""

TOP = 0.45
"""Radius of a cone's upper end; the lower end has radius 1."""


@dataclass(frozen=True)
class Part:
    """A primitive with half extents along its own axes, rotated by three angles and then translated.

    Attributes:
        at, half: center and half extents (x, y, z), z pointing up; the axis of tubes and cones is z.
        turn: angles in radians about x, then y, then z.
    """

    kind: Kind
    at: Triple
    half: Triple
    turn: Triple = (0, 0, 0)

    def matrix(self) -> Float[np.ndarray, "3 3"]:
        """Return the rotation matrix for column vectors."""
        (a, b, c) = self.turn
        about_x = np.array([[1, 0, 0], [0, cos(a), -sin(a)], [0, sin(a), cos(a)]])
        about_y = np.array([[cos(b), 0, sin(b)], [0, 1, 0], [-sin(b), 0, cos(b)]])
        about_z = np.array([[cos(c), -sin(c), 0], [sin(c), cos(c), 0], [0, 0, 1]])
        matrix: Float[np.ndarray, "3 3"] = about_z @ about_y @ about_x
        return matrix

    def level(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
        """Evaluate a function that is negative inside the primitive, 0 on its surface and positive outside."""
        scaled = self.matrix().T / np.array(self.half)[:, None]
        shift = scaled @ np.array(self.at)
        return LEVELS[self.kind](*(scaled.astype(np.float32) @ points.T - shift.astype(np.float32)[:, None]))


Axis = Float[np.ndarray, " n"]


def _box(x: Axis, y: Axis, z: Axis) -> Axis:
    level: Axis = np.maximum(np.maximum(np.abs(x), np.abs(y)), np.abs(z)) - 1
    return level


def _ball(x: Axis, y: Axis, z: Axis) -> Axis:
    level: Axis = np.sqrt(x * x + y * y + z * z) - 1
    return level


def _tube(x: Axis, y: Axis, z: Axis) -> Axis:
    level: Axis = np.maximum(np.sqrt(x * x + y * y), np.abs(z)) - 1
    return level


def _cone(x: Axis, y: Axis, z: Axis) -> Axis:
    radius = 1 - (1 - TOP) * (z + 1) / 2
    level: Axis = np.maximum(np.sqrt(x * x + y * y) - radius, np.abs(z) - 1)
    return level


LEVELS: dict[Kind, Callable[[Axis, Axis, Axis], Axis]] = {"box": _box, "ball": _ball, "tube": _tube, "cone": _cone}


@dataclass(frozen=True)
class Solid:
    """A solid that is the union of primitive parts."""

    parts: tuple[Part, ...]

    def occupied(self, points: Float[np.ndarray, "n 3"]) -> Bool[np.ndarray, " n"]:
        """Return a mask of the points inside the solid."""
        inside = np.zeros(len(points), dtype=bool)
        for part in self.parts:
            inside |= part.level(points) < 0
        return inside

    def near(self, rng: np.random.Generator, count: int) -> Float[np.ndarray, "n 3"]:
        """Draw points in and close to the parts, with more points for larger parts."""
        weights = np.sqrt([np.prod(part.half) for part in self.parts])
        shares = rng.multinomial(count, weights / weights.sum()).tolist()
        clouds = []
        for part, share in zip(self.parts, shares, strict=True):
            local = rng.uniform(-REACH, REACH, (share, 3)) * part.half
            clouds.append(local @ part.matrix().T + part.at)
        return np.concatenate(clouds)

    def extent(self) -> tuple[Float[np.ndarray, " 3"], Float[np.ndarray, " 3"]]:
        """Return the lower and upper corners of a box that contains the solid."""
        corners = [(np.array(part.at), np.abs(part.matrix()) @ np.array(part.half)) for part in self.parts]
        return np.min([at - half for at, half in corners], axis=0), np.max([at + half for at, half in corners], axis=0)

    def posed(self, *, size: float, at: Float[np.ndarray, " 3"], heading: float) -> "Solid":
        """Return the solid rotated about z, with its longest side scaled to `size` and its center moved to `at`."""
        turned = Solid(tuple(_turned(part, heading) for part in self.parts))
        low, high = turned.extent()
        scale = size / float((high - low).max())
        middle = (low + high) / 2
        return Solid(tuple(_moved(part, scale, at - scale * middle) for part in turned.parts))


def _turned(part: Part, heading: float) -> Part:
    x, y, z = part.at
    at = (x * cos(heading) - y * sin(heading), x * sin(heading) + y * cos(heading), z)
    return replace(part, at=at, turn=(part.turn[0], part.turn[1], part.turn[2] + heading))


def _moved(part: Part, scale: float, by: Float[np.ndarray, " 3"]) -> Part:
    x, y, z = (scale * value + float(shift) for value, shift in zip(part.at, by, strict=True))
    hx, hy, hz = (scale * value for value in part.half)
    return replace(part, at=(x, y, z), half=(hx, hy, hz))
