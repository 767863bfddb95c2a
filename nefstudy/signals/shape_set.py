"""A full set of labelled shapes as Signals, and how a solid becomes the points it is known at."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Float16, Shaped, UInt8

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadSignals
from nefstudy.signals.kinds import SHAPE
from nefstudy.signals.signal import Samples, Signals
from nefstudy.signals.signal_set import signal_set

LOOK_GRID = (32, 32, 32)
"""The grid that shapes are looked at on unless asked otherwise: pictures, baselines."""

FITTED = 8192
"""Points of a shape that fits may draw, half of them inside: twice what a step compares."""

HELD_OUT = 4096
"""Points of a shape that IoU is measured at: uniform over its box, grown by MARGIN."""

NEAR, FAR = 10_240, 2_048
"""Candidates to fit, about the surface and anywhere."""

LEAST_INSIDE = 20
"""Held-out points that must lie inside, or the shape is empty for our purposes."""

MARGIN = 0.1
"""How far held-out points reach beyond a solid's box; in the whole volume thin solids would hardly be met."""


@runtime_checkable
class Body(Protocol):
    """A solid in [-1, 1]^3 that can be sampled."""

    def occupied(self, points: Float[np.ndarray, "n 3"]) -> Bool[np.ndarray, " n"]:
        """Which points lie inside."""

    def near(self, rng: np.random.Generator, count: int) -> Float[np.ndarray, "n 3"]:
        """Points about the surface, on both sides."""

    def extent(self) -> tuple[Float[np.ndarray, " 3"], Float[np.ndarray, " 3"]]:
        """Lower and upper corner of a box around it."""


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
    """Shapes as a full, checked set of signals, the way every source hands them over.

    Args:
        samples: those of one shape or more each, all of one size.
        labels, split: as for `image_set`.

    Raises:
        BadSignals: what is wrong with them, on one line.
    """
    if not samples:
        raise BadSignals(f"signals {config.name!r} ({source}): there are no shapes; give some of every class")
    whole = Samples(
        fitted=np.concatenate([one.fitted for one in samples]),
        held_out=np.concatenate([one.held_out for one in samples]),
        occupied=np.concatenate([one.occupied for one in samples]),
    )
    return signal_set(
        np.broadcast_to(_occupancy(whole.fitted.shape[1]), (*whole.fitted.shape[:2], 1)).copy(),
        kind=SHAPE,
        labels=labels,
        config=config,
        class_names=class_names,
        license=license,
        source=source,
        split=split,
        samples=whole,
        grid=LOOK_GRID,
    )


def _occupancy(points: int) -> UInt8[np.ndarray, "P 1"]:
    return np.repeat(np.array([[255], [0]], dtype=np.uint8), points // 2, axis=0)


def sample_solid(body: Body, *, rng: np.random.Generator) -> Samples | None:
    """Samples of one solid in [-1, 1]^3; None where too little of it can be found.

    Points are rounded to half precision before they are asked, so what is stored is exact.
    """
    candidates = np.clip(np.concatenate([body.near(rng, NEAR), rng.uniform(-1, 1, (FAR, 3))]), -1, 1).astype(np.float16)
    inside = body.occupied(candidates.astype(np.float32))
    low, high = body.extent()
    held_out = rng.uniform(np.maximum(low - MARGIN, -1), np.minimum(high + MARGIN, 1), (HELD_OUT, 3)).astype(np.float16)
    occupied = body.occupied(held_out.astype(np.float32))
    if occupied.sum() < LEAST_INSIDE or inside.all() or not inside.any():
        return None
    return Samples(
        fitted=both_sides(candidates, inside, count=FITTED, rng=rng)[None],
        held_out=held_out[None],
        occupied=occupied[None],
    )


def both_sides(
    points: Float16[np.ndarray, "n 3"], inside: Bool[np.ndarray, " n"], *, count: int, rng: np.random.Generator
) -> Float16[np.ndarray, "count 3"]:
    """As many points from inside as from outside, inside first; repeated in turn where a side has too few."""
    sides = [rng.permutation(np.flatnonzero(side)) for side in (inside, ~inside)]
    chosen: Float16[np.ndarray, "count 3"] = points[np.concatenate([np.resize(side, count // 2) for side in sides])]
    return chosen
