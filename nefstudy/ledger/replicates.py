"""Replicates: trials that differ in their seeds alone, and means over them with intervals.

An interval is Student's: mean ± t(97.5 %, n - 1) s / sqrt(n), 95 %, for values that scatter about normally. It tells
how sure a mean is, as a standard deviation over settings does not.
"""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from nefstudy.ledger.rows import TrialRow, TrialState
from nefstudy.scalars import canonical_json

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """The mean of n values and half the width of its 95 % interval; None for a single value."""

    n: int
    mean: float
    half: float | None

    def __str__(self) -> str:
        return f"{self.mean:.3f}" if self.half is None else f"{self.mean:.3f} ± {self.half:.3f}"


@dataclass(frozen=True)
class Replicated:
    """One setting and its means over replicates; `example` is the trial of the smallest seed."""

    example: TrialRow
    keys: tuple[str, ...]
    val: Interval
    test: Interval
    quality: Interval | None


def interval(values: Sequence[float]) -> Interval:
    """Mean and 95 % interval of at least one value."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return Interval(len(values), mean, None)
    return Interval(len(values), mean, quantile(len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values)))


def quantile(freedom: int) -> float:
    """The 97.5 % quantile of Student's t."""
    from scipy.special import stdtrit  # only where there is an interval to tell

    return float(stdtrit(freedom, 0.5 + CONFIDENCE / 2))


def setting(config: dict[str, Any], *, without: Iterable[str] = ()) -> str:
    """A trial's configuration without its seeds, as one text.

    Args:
        without: more to leave out, by path: `classifier`, `dataset.init`.
    """
    left = {**config, "dataset": {**config.get("dataset", {})}}
    for path in ("seed", "dataset.seed", *without):
        *parents, name = path.split(".")
        place = left
        for parent in parents:
            place[parent] = place = {**place.get(parent, {})}
        place.pop(name, None)
    return canonical_json(left)


def replicated(rows: Iterable[TrialRow]) -> list[Replicated]:
    """Settings with two or more complete trials, by phase and cell, best mean validation accuracy first."""
    groups: dict[tuple[str, str, str], list[TrialRow]] = defaultdict(list)
    for row in rows:
        if row.state is TrialState.COMPLETE and row.val_accuracy is not None and row.test_accuracy is not None:
            groups[row.phase, row.cell, setting(row.config)].append(row)
    found = [_replicated(sorted(group, key=lambda r: (r.seed, r.key))) for group in groups.values() if len(group) > 1]
    return sorted(found, key=lambda r: (r.example.phase, r.example.cell, -r.val.mean, r.example.key))


def _replicated(group: Sequence[TrialRow]) -> Replicated:
    qualities = [row.quality for row in group if row.quality is not None]
    return Replicated(
        example=group[0],
        keys=tuple(row.key for row in group),
        val=interval([row.val_accuracy for row in group if row.val_accuracy is not None]),
        test=interval([row.test_accuracy for row in group if row.test_accuracy is not None]),
        quality=interval(qualities) if qualities else None,
    )
