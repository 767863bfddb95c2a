"""Construction of a full set of labeled shapes, and sampling of solids."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Float16, Shaped, UInt8

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadSignals
from nefstudy.signals.kinds import SHAPE
from nefstudy.signals.samples import Pool, Samples, Sides
from nefstudy.signals.signal import Signals
from nefstudy.signals.signal_set import signal_set

VIEW_GRID = (32, 32, 32)
"""Default grid on which shapes are reconstructed, for example for pictures."""

FITTED = 8192
"""Points stored per shape, for a fit's first steps, losses and pictures, half of them inside; also those of a block."""

POOL = 131_072
"""Further points per solid for fits, half of them inside; a step uses a thirty-second of them."""

HELD_OUT = 4096
"""Points per shape at which IoU is measured: uniform over its bounding box, enlarged by MARGIN."""

NEAR, AROUND, FAR = 7_168, 4_096, 2_048
"""Numbers of candidates drawn together: near the surface, in the box of held-out points, and in the whole volume.

With few candidates away from the surface, a long fit invents material there, where hardly any point contradicts it.
"""

TRIES = 4
"""Number of times that candidates are drawn until both sides have enough."""

MIN_INSIDE = 20
"""Minimum number of held-out points inside; a shape with fewer is treated as empty."""

MARGIN = 0.1
"""Margin of held-out points around a solid's box; sampling the whole volume would rarely hit thin solids."""


@runtime_checkable
class Body(Protocol):
    """A solid in [-1, 1]^3 that can be sampled."""

    def occupied(self, points: Float[np.ndarray, "n 3"]) -> Bool[np.ndarray, " n"]:
        """Return a mask of the points inside the solid."""

    def near(self, rng: np.random.Generator, count: int) -> Float[np.ndarray, "n 3"]:
        """Draw points near the surface, on both sides."""

    def extent(self) -> tuple[Float[np.ndarray, " 3"], Float[np.ndarray, " 3"]]:
        """Return the lower and upper corners of a box that contains the solid."""


Draw = Callable[[int], tuple[Body, np.random.Generator]]
"""Returns a solid, and the random stream from which a block of its points is drawn."""


def shape_set(
    samples: Sequence[Samples],
    labels: Shaped[np.ndarray, "..."],
    *,
    config: SignalsConfig,
    class_names: Sequence[str],
    license: str,
    source: str,
    split: Shaped[np.ndarray, "..."] | None = None,
) -> Signals:
    """Build a full, validated set of signals from shapes.

    Args:
        samples: samples of one or more shapes each, with equal numbers of points.
        labels, split: as for `image_set`.

    Raises:
        BadSignals: the problems of the samples or labels, on one line.
    """
    if not samples:
        raise BadSignals(f"signals {config.name!r} ({source}): there are no shapes; give some of every class")
    joined = Samples(
        fitted=np.concatenate([one.fitted for one in samples]),
        held_out=np.concatenate([one.held_out for one in samples]),
        occupied=np.concatenate([one.occupied for one in samples]),
        pools=_joined([one.pools for one in samples]),
    )
    return signal_set(
        np.broadcast_to(_occupancy(joined.fitted.shape[1]), (*joined.fitted.shape[:2], 1)).copy(),
        kind=SHAPE,
        labels=labels,
        config=config,
        class_names=class_names,
        license=license,
        source=source,
        split=split,
        samples=joined,
        grid=VIEW_GRID,
    )


def _occupancy(points: int) -> UInt8[np.ndarray, "P 1"]:
    return np.repeat(np.array([[255], [0]], dtype=np.uint8), points // 2, axis=0)


def _joined(pools: Sequence[np.ndarray | None]) -> np.ndarray | None:
    given = [each for each in pools if each is not None]
    return np.concatenate(given) if len(given) == len(pools) else None


def sample_solid(draw: Draw) -> Samples | None:
    """Sample one solid in [-1, 1]^3; return None if too few points are inside, or all are on one side of its surface.

    Points are rounded to half precision before their occupancy is computed, so the stored pairs are exact.
    """
    body, rng = draw(0)
    sides = _sides(body, rng)
    held_out = _around(body, rng, HELD_OUT).astype(np.float16)
    occupied = body.occupied(held_out.astype(np.float32))
    if occupied.sum() < MIN_INSIDE or not all(map(len, sides)):
        return None
    blocks = POOL // FITTED
    pool = Pool(f"{blocks} blocks of {FITTED} drawn points", blocks, (FITTED // 2,) * 2, partial(_block, draw))
    return Samples(
        fitted=np.concatenate(balanced(sides))[None],
        held_out=held_out[None],
        occupied=occupied[None],
        pools=np.array([pool]),
    )


def _block(draw: Draw, number: int) -> Sides:
    sides = _sides(*draw(number + 1))
    assert all(map(len, sides))  # as for the stored points; thousands of candidates near a surface are on each side
    return balanced(sides)


def _sides(body: Body, rng: np.random.Generator) -> Sides:
    candidates, inside = np.empty((0, 3), dtype=np.float16), np.empty(0, dtype=bool)
    for _ in range(TRIES):
        drawn = np.concatenate([body.near(rng, NEAR), _around(body, rng, AROUND), rng.uniform(-1, 1, (FAR, 3))])
        points = np.clip(drawn, -1, 1).astype(np.float16)
        candidates = np.concatenate([candidates, points])
        inside = np.concatenate([inside, body.occupied(points.astype(np.float32))])
        if FITTED // 2 <= inside.sum() <= len(inside) - FITTED // 2:
            break
    return both_sides(candidates, inside, rng=rng)


def _around(body: Body, rng: np.random.Generator, count: int) -> Float[np.ndarray, "n 3"]:
    """Draw points uniformly from the solid's box, enlarged by MARGIN within [-1, 1]^3."""
    low, high = body.extent()
    return rng.uniform(np.maximum(low - MARGIN, -1), np.minimum(high + MARGIN, 1), (count, 3))


def both_sides(
    points: Float16[np.ndarray, "n 3"], inside: Bool[np.ndarray, " n"], *, rng: np.random.Generator
) -> Sides:
    """Return the points inside and those outside, both in random order."""
    return points[rng.permutation(np.flatnonzero(inside))], points[rng.permutation(np.flatnonzero(~inside))]


def balanced(
    sides: Sides, *, count: int = FITTED
) -> tuple[Float16[np.ndarray, "half D"], Float16[np.ndarray, "half D"]]:
    """Return the first count / 2 points of either side; a side with too few points repeats them."""
    inside, outside = (np.resize(side, (count // 2, side.shape[1])) for side in sides)
    return inside, outside
