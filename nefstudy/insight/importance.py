"""Which free parameters separate the best trials of a cell from the rest: PED-ANOVA.

The formula is that of Watanabe et al. 2023 as Optuna's `PedAnovaImportanceEvaluator` computes it, written out here: to
import that class costs the status service 2 s and 160 MB. A test holds both to the same shares.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

from nefstudy.insight.declared import CellKey, Declarations, Declared
from nefstudy.insight.table import Column, Table
from nefstudy.insight.trials import Trials, is_number

TOP = 0.1  # the trials that count as best, as a share of all
LEAST = 20  # trials of a cell: with fewer than two best ones the shares mean nothing
STEPS = 50  # grid points of a range
PRIOR = 1.0  # weight of the prior, in observations
TINY = 1e-12
LEAST_WIDTH = 0.5 / 1.64  # of a kernel, in grid points: 90 % of it fall on one point
POOLED = "all"

Dimension = Mapping[str, Any]
"""A free parameter as the plan describes it: `kind` with `low`, `high`, `log`, `multiple`, or `values`."""


def importance_columns(declared: Declarations, *, phase: str | None, cell: str | None) -> list[str]:
    """Return the columns that `importance` needs."""
    chosen = list(_chosen(declared, phase=phase, cell=cell))
    return list(dict.fromkeys(["phase", "cell", *(name for d in chosen for name in (d.objective, *d.space))]))


def importance(trials: Trials, declared: Declarations, *, phase: str | None = None, cell: str | None = None) -> Table:
    """Return the share of each free parameter within each cell, most important first, with the number of trials.

    Where several cells are chosen, mean shares over them, weighted by trials, come first, as cell `all`.
    """
    ranked: dict[CellKey, tuple[int, dict[str, float]]] = {}
    short: list[str] = []
    groups = dict(trials.groups("phase", "cell"))
    for own in _chosen(declared, phase=phase, cell=cell):
        drawn = within_space(groups.get((own.phase, own.cell), Trials({})), own)
        if own.space and len(drawn) >= LEAST:
            ranked[own.phase, own.cell] = len(drawn), shares(drawn, own)
        elif own.space:
            short.append(f"{own.phase} {own.cell} has {len(drawn)}")
    rows = [
        (place[0], place[1], name, share, n)
        for place, (n, found) in ([*_pooled(ranked), *ranked.items()])
        for name, share in sorted(found.items(), key=lambda item: (-item[1], item[0]))
    ]
    return Table(
        id="importance",
        title="What matters",
        caption=_words(declared, ranked, short=short),
        columns=(
            Column("phase", "phase"),
            Column("cell", "cell"),
            Column("parameter", "parameter"),
            Column("share", "share", "share"),
            Column("n", "trials", "count"),
        ),
        rows=tuple(rows),
        of=sum(n for n, _ in ranked.values()),
    )


def _chosen(declared: Declarations, *, phase: str | None, cell: str | None) -> Iterator[Declared]:
    return (d for d in declared.cells.values() if phase in (None, d.phase) and cell in (None, d.cell))


def _pooled(
    ranked: Mapping[CellKey, tuple[int, dict[str, float]]],
) -> list[tuple[CellKey, tuple[int, dict[str, float]]]]:
    if len(ranked) < 2:
        return []
    total = sum(n for n, _ in ranked.values())
    names = dict.fromkeys(name for _, found in ranked.values() for name in found)
    mean = {name: sum(n * found.get(name, 0.0) for n, found in ranked.values()) / total for name in names}
    phases = {phase for phase, _ in ranked}
    return [((phases.pop() if len(phases) == 1 else POOLED, POOLED), (total, mean))]


def _words(
    declared: Declarations, ranked: Mapping[CellKey, tuple[int, dict[str, float]]], *, short: Sequence[str]
) -> str:
    if not ranked and not short:
        return "The plan leaves no parameter free here, so there is nothing to rank."
    if not ranked:
        return f"Known from {LEAST} complete trials of a cell on; so far {', '.join(short)}."
    metrics = {declared.of(*place).objective_metric.label for place in ranked}
    left = f" Too few trials: {', '.join(short)} (at least {LEAST})." if short else ""
    labels = " or ".join(sorted(metrics))
    return (
        f"Share of each free parameter in what separates the best tenth of a cell's trials, by {labels}, "
        f"from all of them (PED-ANOVA).{left}"
    )


def within_space(trials: Trials, own: Declared) -> Trials:
    """Return the trials with a finite score whose parameters all lie in the cell's space, as its sampler draws them."""
    scores = trials[own.objective]
    columns = {name: trials[name] for name in own.space}

    def is_drawn(index: int) -> bool:
        inside = all(_is_inside(own.space[name], values[index]) for name, values in columns.items())
        return is_number(scores[index]) and inside

    return trials.where(is_drawn)


def _is_inside(dimension: Dimension, value: object) -> bool:
    if dimension["kind"] == "Choice":
        return value in dimension["values"]
    if not is_number(value):
        return False
    return bool(dimension["low"] <= value <= dimension["high"]) and value % dimension.get("multiple", value or 1) == 0


def shares(trials: Trials, own: Declared) -> dict[str, float]:
    """Return each free parameter's share; those of parameters that vary add up to 1.

    Args:
        trials: of one cell, all within its space and with a finite score.
    """
    return shares_of(own.space, {name: trials[name] for name in own.space}, trials[own.objective], sign=own.sign)


def shares_of(
    space: Mapping[str, Dimension], columns: Mapping[str, Sequence[Any]], scores: Sequence[float], *, sign: int
) -> dict[str, float]:
    """Return each free parameter's share.

    Args:
        columns: each parameter's values, all within the space, in the order of the scores.
        sign: 1 where higher scores are better, -1 where lower ones are.
    """
    if len(scores) < 2:
        return dict.fromkeys(space, 0.0)
    losses = [-sign * score for score in scores]
    cut = sorted(losses)[math.ceil(TOP * len(losses)) - 1]
    best = [index for index, loss in enumerate(losses) if loss <= cut]
    found = {name: _divergence(dimension, columns[name], best) for name, dimension in space.items()}
    total = sum(found.values())
    return {name: value / total if total else 0.0 for name, value in found.items()}


def _divergence(dimension: Dimension, values: Sequence[Any], best: Sequence[int]) -> float:
    """Return Pearson's divergence between a parameter's density among the best trials and among all."""
    size, places = _on_grid(dimension, values)
    if size < 2:
        return 0.0
    density = _categorical if dimension["kind"] == "Choice" else _numerical
    every = [p + TINY for p in density(places, size)]
    top = [p + TINY for p in density([places[index] for index in best], size)]
    return math.fsum(q * (p / q - 1) ** 2 for p, q in zip(top, every, strict=True))


def _on_grid(dimension: Dimension, values: Sequence[Any]) -> tuple[int, list[int]]:
    """Return the number of grid points and the one that each value falls on."""
    if dimension["kind"] == "Choice":
        choices = list(dimension["values"])
        return len(choices), [choices.index(value) for value in values]
    multiple, log = dimension.get("multiple", 1), bool(dimension.get("log"))
    low, high = dimension["low"] / multiple, dimension["high"] / multiple
    size = STEPS
    if dimension["kind"] == "Whole":
        low, high = dimension["low"] // multiple, dimension["high"] // multiple
        size = min(STEPS, math.ceil(math.log2(high - low + 1)) + 1 if log else round(high - low) + 1)
    if low == high:
        return 1, [0] * len(values)
    scale = math.log if log else float
    first, step = scale(low), (scale(high) - scale(low)) / (size - 1)
    places = [math.ceil((scale(value / multiple) - first) / step - 0.5) for value in values]
    return size, [min(size - 1, max(0, place)) for place in places]


def _counted(places: Sequence[int]) -> tuple[list[int], list[int]]:
    counts: dict[int, int] = {}
    for place in places:
        counts[place] = counts.get(place, 0) + 1
    at = sorted(counts)
    return at, [counts[place] for place in at]


def _categorical(places: Sequence[int], size: int) -> list[float]:
    """Return the density of choices: each observed one a kernel that leaks into the others, and a uniform prior."""
    at, weights = _counted(places)
    leak = PRIOR / (len(at) + 1)
    total = sum(weights) + PRIOR
    kernel = 1 + size * leak
    return [
        (sum(w * (leak + (place == choice)) / kernel for place, w in zip(at, weights, strict=True)) + PRIOR / size)
        / total
        for choice in range(size)
    ]


def _numerical(places: Sequence[int], size: int) -> list[float]:
    """Return the density of grid points: truncated normal kernels by Scott's rule, and a wide prior."""
    at, weights = _counted(places)
    total = sum(weights)
    mean = sum(p * w for p, w in zip(at, weights, strict=True)) / total
    sd = math.sqrt(sum(w * (p - mean) ** 2 for p, w in zip(at, weights, strict=True)) / max(1, total - 1))
    cumulated = list(accumulate(weights))
    lower = at[bisect_left(cumulated, total // 4)]
    upper = at[min(len(at) - 1, bisect_right(cumulated, total * 3 // 4))]
    width = max(1.059 * min((upper - lower) / 1.34, sd) * total**-0.2, LEAST_WIDTH)
    kernels = [(float(p), width, float(w)) for p, w in zip(at, weights, strict=True)]
    kernels.append(((size - 1) / 2, float(size), PRIOR))
    density = [0.0] * size
    for center, sigma, weight in kernels:
        edges = [_normal((place - 0.5 - center) / sigma) for place in range(size + 1)]
        whole = edges[-1] - edges[0]
        for place in range(size):
            density[place] += weight * (edges[place + 1] - edges[place]) / whole / (total + PRIOR)
    return density


def _normal(z: float) -> float:
    return 0.5 * math.erfc(-z / math.sqrt(2))
