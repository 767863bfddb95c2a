"""Source of parametric solids in ten categories of furniture and vehicles, which need no download."""

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from math import pi

import numpy as np

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadSignals
from nefstudy.seeds import stream
from nefstudy.signals.samples import Samples
from nefstudy.signals.shape_set import sample_solid, shape_set
from nefstudy.signals.signal import Signals
from nefstudy.signals.sources.options import int_option, only_options
from nefstudy.signals.sources.solids import Kind, Part, Solid

PER_CLASS = 250
SEED = 10
"""Seed of the solids, independent of the split seed, which only divides them."""

ATTEMPTS = 20
TILT = 0.26
"""Largest heading angle of a solid in radians: 15 degrees in either direction."""

Parts = list[Part]
Maker = Callable[[np.random.Generator], Parts]


def shapes10(config: SignalsConfig) -> Signals:
    """Generate 2,500 parametric solids, 250 in each of ten categories; option `per_class` changes the number.

    Raises:
        BadConfig: another option, or a `per_class` out of range.
    """
    only_options(config, "per_class")
    option = int_option(config, "per_class", allowed=range(3, 10_001), hint="an integer from 3 to 10000")
    per_class = PER_CLASS if option is None else option
    samples = [solid_samples(name, index) for name in MAKERS for index in range(per_class)]
    return shape_set(
        samples,
        np.repeat(np.arange(len(MAKERS)), per_class),
        config=config,
        class_names=tuple(MAKERS),
        license="Apache-2.0 (generated)",
        source="parametric solids of nefstudy",
    )


def solid_samples(name: str, index: int) -> Samples:
    """Sample one solid; if too few points are inside, draw another solid.

    Raises:
        BadSignals: every draw failed, which is a bug in the category's maker.
    """
    for attempt in range(ATTEMPTS):
        samples = sample_solid(partial(_draw, name, index, attempt))
        if samples is not None:
            return samples
    raise BadSignals(f"shapes10: {name} {index} is still empty after {ATTEMPTS} draws; fix its maker")


def _draw(name: str, index: int, attempt: int, block: int) -> tuple[Solid, np.random.Generator]:
    """Return a solid, and the stream of a block of its points; that of block 0 continues the solid's own."""
    if block == 0:
        rng = stream(SEED, "solid", name, index, attempt)
        return _posed(Solid(tuple(MAKERS[name](rng))), rng), rng
    return _solid(name, index, attempt), stream(SEED, "pool of a solid", name, index, attempt, block)


@lru_cache(maxsize=64)
def _solid(name: str, index: int, attempt: int) -> Solid:
    """Return a solid; cached because a block of each solid that is being fitted is needed in turn."""
    return _draw(name, index, attempt, 0)[0]


def _posed(solid: Solid, rng: np.random.Generator) -> Solid:
    return solid.posed(
        size=float(rng.uniform(1.5, 1.8)), at=rng.uniform(-0.05, 0.05, 3), heading=float(rng.uniform(-TILT, TILT))
    )


def _legs(x: float, y: float, *, height: float, radius: float) -> Parts:
    """Return four legs on the ground, at the corners of a rectangle."""
    corners = [(sx * x, sy * y) for sx in (-1, 1) for sy in (-1, 1)]
    return [Part("box", (cx, cy, height / 2), (radius, radius, height / 2)) for cx, cy in corners]


def _airplane(rng: np.random.Generator) -> Parts:
    length, radius = rng.uniform(0.8, 1.1), rng.uniform(0.09, 0.15)
    span, chord, sweep = rng.uniform(0.4, 0.6), rng.uniform(0.1, 0.2), rng.uniform(0.1, 0.6)
    parts = [Part("ball", (0, 0, 0), (length, radius, radius))]
    for side in (-1, 1):
        parts += [
            Part("box", (-0.05, side * span, 0), (chord, span, 0.025), (0, 0, side * sweep)),
            Part("box", (-0.85 * length, side * 0.2, 0.05), (0.08, 0.2, 0.02), (0, 0, side * sweep)),
        ]
        for place in range(int(rng.integers(0, 3))):
            parts.append(Part("tube", (0.05, side * (0.3 + 0.25 * place), -0.08), (0.05, 0.05, 0.12), (0, pi / 2, 0)))
    return [*parts, Part("box", (-0.85 * length, 0, 0.18), (0.09, 0.02, 0.18), (0, -0.4, 0))]


def _bench(rng: np.random.Generator) -> Parts:
    length, depth, height = rng.uniform(0.8, 1.1), rng.uniform(0.2, 0.32), rng.uniform(0.35, 0.5)
    parts = [Part("box", (0, 0, height), (length, depth, 0.05))]
    foot = (rng.uniform(0.04, 0.09), 0.85 * depth, height / 2)
    parts += [Part("box", (side * 0.8 * length, 0, height / 2), foot) for side in (-1, 1)]
    if rng.random() < 0.6:
        lean = rng.uniform(0, 0.3)
        parts.append(
            Part("box", (0, depth + 0.05, height + 0.28), (length, 0.04, rng.uniform(0.14, 0.26)), (-lean, 0, 0))
        )
    return parts


def _car(rng: np.random.Generator) -> Parts:
    width, height, wheel = rng.uniform(0.36, 0.46), rng.uniform(0.14, 0.22), rng.uniform(0.13, 0.18)
    cabin, back = rng.uniform(0.4, 0.65), rng.uniform(-0.3, 0.1)
    parts = [
        Part("box", (0, 0, wheel + height), (1.0, width, height)),
        Part("box" if rng.random() < 0.5 else "ball", (back, 0, wheel + 2 * height), (cabin, 0.85 * width, 0.28)),
    ]
    for x in (-0.6, 0.6):
        parts += [Part("tube", (x, y, wheel), (wheel, wheel, 0.07), (pi / 2, 0, 0)) for y in (-width, width)]
    return parts


def _chair(rng: np.random.Generator) -> Parts:
    width, height, thick = rng.uniform(0.36, 0.5), rng.uniform(0.6, 0.8), rng.uniform(0.04, 0.09)
    parts = [Part("box", (0, 0, height), (width, width, thick))]
    tall = rng.uniform(0.35, 0.55)
    parts.append(Part("box", (0, width, height + tall), (width, 0.05, tall), (-rng.uniform(0, 0.25), 0, 0)))
    if rng.random() < 0.3:
        parts += [
            Part("tube", (0, 0, height / 2), (0.06, 0.06, height / 2)),
            Part("tube", (0, 0, 0.03), (width, width, 0.04)),
        ]
    else:
        parts += _legs(0.9 * width, 0.9 * width, height=height, radius=rng.uniform(0.035, 0.06))
    if rng.random() < 0.4:
        parts += [Part("box", (side * width, 0, height + 0.28), (0.05, width, 0.04)) for side in (-1, 1)]
    return parts


def _lamp(rng: np.random.Generator) -> Parts:
    height, shade, drop = rng.uniform(1.0, 1.5), rng.uniform(0.25, 0.45), rng.uniform(0.15, 0.28)
    base = rng.uniform(0.2, 0.35)
    kind: Kind = "cone" if rng.random() < 0.7 else "ball"
    return [
        Part("tube", (0, 0, 0.04), (base, base, 0.05)),
        Part("tube", (0, 0, height / 2), (0.04, 0.04, height / 2)),
        Part(kind, (0, 0, height), (shade, shade, drop)),
    ]


def _loudspeaker(rng: np.random.Generator) -> Parts:
    width, depth, height = rng.uniform(0.25, 0.45), rng.uniform(0.25, 0.4), rng.uniform(0.6, 1.0)
    parts = [Part("box", (0, 0, height), (width, depth, height))]
    for place in range(int(rng.integers(1, 4))):
        radius = 0.75 * width * (1 - 0.2 * place)
        parts.append(Part("tube", (0, -depth, height * (0.5 + 0.5 * place)), (radius, radius, 0.07), (pi / 2, 0, 0)))
    if rng.random() < 0.4:
        parts.append(Part("box", (0, 0, 0.03), (1.25 * width, 1.25 * depth, 0.05)))
    return parts


def _rifle(rng: np.random.Generator) -> Parts:
    barrel, body, drop = rng.uniform(0.45, 0.6), rng.uniform(0.25, 0.4), rng.uniform(0.1, 0.3)
    parts = [
        Part("tube", (body + barrel, 0, 0.03), (0.035, 0.035, barrel), (0, pi / 2, 0)),
        Part("box", (0, 0, 0), (body, 0.05, 0.08)),
        Part("box", (-body - 0.3, 0, -0.1), (0.34, 0.045, 0.09), (0, -drop, 0)),
        Part("box", (0.1 * body, 0, -0.2), (0.06, 0.04, rng.uniform(0.12, 0.22)), (0, rng.uniform(-0.3, 0.3), 0)),
    ]
    if rng.random() < 0.5:
        parts.append(Part("tube", (0, 0, 0.15), (0.045, 0.045, 0.2), (0, pi / 2, 0)))
    return parts


def _sofa(rng: np.random.Generator) -> Parts:
    length, depth, seat = rng.uniform(0.7, 1.1), rng.uniform(0.34, 0.45), rng.uniform(0.18, 0.26)
    arm, back = rng.uniform(0.08, 0.16), rng.uniform(0.2, 0.34)
    parts = [
        Part("box", (0, 0, seat), (length, depth, seat)),
        Part("box", (0, depth, seat + back), (length, 0.12, seat + back)),
    ]
    high = rng.uniform(1.2, 1.6) * seat
    return parts + [Part("box", (side * length, 0, high), (arm, depth, high)) for side in (-1, 1)]


def _table(rng: np.random.Generator) -> Parts:
    x, y, height = rng.uniform(0.6, 1.0), rng.uniform(0.45, 0.7), rng.uniform(0.6, 0.9)
    if rng.random() < 0.35:
        foot = rng.uniform(0.25, 0.45)
        return [
            Part("tube", (0, 0, height), (x, x, 0.05)),
            Part("tube", (0, 0, height / 2), (0.09, 0.09, height / 2)),
            Part("tube", (0, 0, 0.03), (foot, foot, 0.05)),
        ]
    return [
        Part("box", (0, 0, height), (x, y, 0.05)),
        *_legs(0.88 * x, 0.88 * y, height=height, radius=rng.uniform(0.04, 0.08)),
    ]


def _watercraft(rng: np.random.Generator) -> Parts:
    beam, depth = rng.uniform(0.2, 0.35), rng.uniform(0.14, 0.24)
    parts = [
        Part("ball", (0, 0, 0), (1.0, beam, depth)),
        Part("box", (0, 0, 0.5 * depth), (0.7, 0.8 * beam, 0.5 * depth)),
    ]
    if rng.random() < 0.6:
        for deck in range(int(rng.integers(1, 4))):
            reach = rng.uniform(0.25, 0.45) * (1 - 0.25 * deck)
            parts.append(Part("box", (-0.2, 0, depth + 0.1 + 0.16 * deck), (reach, 0.6 * beam, 0.09)))
        return parts
    mast = rng.uniform(0.4, 0.6)
    parts.append(Part("tube", (0.1, 0, depth + mast), (0.03, 0.03, mast)))
    return [*parts, Part("box", (-0.15, 0, depth + mast), (0.22, 0.025, 0.75 * mast))]


MAKERS: Mapping[str, Maker] = {
    "airplane": _airplane,
    "bench": _bench,
    "car": _car,
    "chair": _chair,
    "lamp": _lamp,
    "loudspeaker": _loudspeaker,
    "rifle": _rifle,
    "sofa": _sofa,
    "table": _table,
    "watercraft": _watercraft,
}
