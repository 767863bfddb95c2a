"""Which parameters tell the best trials from the rest."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from nefstudy.ledger import Ledger

TOP = 0.1  # the trials that count as best, as a share of all
MIN_TRIALS = 20  # with fewer than two best trials the shares say nothing
BINS = 8
SAMPLE = 50  # trials looked at for the names of parameters


def importance(
    ledger: Ledger, study: str, *, phase: str | None = None, cell: str | None = None, target: str = "val_accuracy"
) -> dict[str, Any]:
    """Shares by parameter, most important first, and the number of trials they rest on."""
    rows = ledger.trials.page(study, phase=phase, cell=cell, limit=SAMPLE).rows
    names = sorted({name for row in rows for name in row.parameters if not name.endswith("seed")})
    columns = ledger.trials.columns(study, [*names, target], phase=phase, cell=cell)
    scores = columns.pop(target)
    known = [index for index, score in enumerate(scores) if score is not None and math.isfinite(score)]
    kept = {name: [values[index] for index in known] for name, values in columns.items()}
    shares = shares_of(kept, [scores[index] for index in known])
    ranked = [{"name": name, "share": share} for name, share in sorted(shares.items(), key=lambda item: -item[1])]
    return {"trials": len(known), "target": target, "parameters": ranked}


def shares_of(columns: Mapping[str, Sequence[Any]], scores: Sequence[float]) -> dict[str, float]:
    """How much each parameter that varies separates the best scores from all; shares add up to 1.

    The divergence is Pearson's, between a parameter's histogram among the best and among all trials, as in
    PED-ANOVA (Watanabe et al. 2023), less what chance alone gives it; empty when there are few trials.
    """
    if len(scores) < MIN_TRIALS:
        return {}
    order = sorted(range(len(scores)), key=lambda index: (-scores[index], index))
    best = order[: max(2, round(TOP * len(scores)))]
    found = {name: _divergence(binned(values), best) for name, values in columns.items()}
    varying = {name: value for name, value in found.items() if value is not None}
    total = sum(varying.values())
    return {name: value / total if total else 0.0 for name, value in varying.items()}


def binned(values: Sequence[Any]) -> list[int]:
    """Each value's bin: the value itself where few differ or they are words, else one of equally full ranges."""
    distinct = sorted({value for value in values if value is not None}, key=lambda value: (str(type(value)), value))
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in distinct)
    if len(distinct) <= BINS or not numbers:
        place = {value: index for index, value in enumerate(distinct)}
        return [-1 if value is None else place[value] for value in values]
    ranked = sorted(value for value in values if value is not None)
    edges = [ranked[len(ranked) * step // BINS] for step in range(1, BINS)]
    return [-1 if value is None else sum(value >= edge for edge in edges) for value in values]


def _divergence(bins: Sequence[int], best: Sequence[int]) -> float | None:
    """Pearson's divergence above its expectation by chance; None for a parameter that does not vary."""
    every, top = Counter(bins), Counter(bins[index] for index in best)
    if len(every) < 2:
        return None
    n, k = len(bins), len(best)
    divergence = sum((top[b] / k - count / n) ** 2 / (count / n) for b, count in every.items())
    by_chance = (len(every) - 1) * (1 / k - 1 / n)
    return max(0.0, divergence - by_chance)
