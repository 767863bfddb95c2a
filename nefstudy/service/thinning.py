"""Fewer points of the same shape: dense places lose points first, lonely ones stay."""

import math
from collections.abc import Sequence


def thinned(x: Sequence[float], y: Sequence[float], *, limit: int) -> list[int]:
    """Rising indices of at most `limit` points, taken in turns from the boxes of a grid over the plane.

    The first turn takes one point of every box that has any, so that outliers outlive crowds.
    """
    if len(x) <= limit:
        return list(range(len(x)))
    side = max(1, math.isqrt(limit))
    boxes: dict[tuple[int, int], list[int]] = {}
    for index, place in enumerate(zip(_bins(x, side), _bins(y, side), strict=True)):
        boxes.setdefault(place, []).append(index)
    kept: list[int] = []
    turn = 0
    while len(kept) < limit:
        kept += [box[turn] for box in boxes.values() if turn < len(box)]
        turn += 1
    return sorted(kept[:limit])


def _bins(values: Sequence[float], count: int) -> list[int]:
    low, high = min(values), max(values)
    width = (high - low) or 1.0
    return [min(count - 1, int(count * ((value - low) / width))) for value in values]
