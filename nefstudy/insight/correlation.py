"""Spearman's rank correlation with its 95 % interval."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from nefstudy.insight.trials import is_number

MIN_PAIRS = 4  # with fewer, a rank correlation is meaningless
SPEARMAN = 1.03  # times 1 / sqrt(n - 3) is the standard deviation of Fisher's z: Fieller, Hartley & Pearson 1957


@dataclass(frozen=True)
class Correlation:
    """A rank correlation of n pairs, with the bounds of its 95 % interval."""

    n: int
    rho: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.rho:+.2f} (n = {self.n:,}, 95 % interval {self.low:+.2f} to {self.high:+.2f})"


def correlation(x: Sequence[float | None], y: Sequence[float | None]) -> Correlation | None:
    """Return the rank correlation of the pairs whose values are both finite.

    Return None for fewer than four pairs, or if all values of one side are equal.
    """
    pairs = [(a, b) for a, b in zip(x, y, strict=True) if is_number(a) and is_number(b)]
    if len(pairs) < MIN_PAIRS or any(len(set(side)) < 2 for side in zip(*pairs, strict=True)):
        return None
    rho = _pearson(_ranks([a for a, _ in pairs]), _ranks([b for _, b in pairs]))
    z = math.atanh(max(-1 + 1e-12, min(1 - 1e-12, rho)))
    half = 1.96 * SPEARMAN / math.sqrt(len(pairs) - 3)
    return Correlation(len(pairs), rho, math.tanh(z - half), math.tanh(z + half))


def _ranks(values: Sequence[float]) -> list[float]:
    """Return the ranks of values; equal values share their mean rank."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    first = 0
    while first < len(order):
        last = first
        while last + 1 < len(order) and values[order[last + 1]] == values[order[first]]:
            last += 1
        for position in range(first, last + 1):
            ranks[order[position]] = (first + last) / 2
        first = last + 1
    return ranks


def _pearson(a: Sequence[float], b: Sequence[float]) -> float:
    mean_a, mean_b = math.fsum(a) / len(a), math.fsum(b) / len(b)
    covariance = math.fsum((x - mean_a) * (y - mean_b) for x, y in zip(a, b, strict=True))
    spread = math.sqrt(math.fsum((x - mean_a) ** 2 for x in a) * math.fsum((y - mean_b) ** 2 for y in b))
    return max(-1.0, min(1.0, covariance / spread))
