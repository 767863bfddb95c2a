"""The importance of free parameters: how well each parameter separates a cell's best trials from all its trials.

The formula is PED-ANOVA (Watanabe et al. 2023), as in Optuna's `PedAnovaImportanceEvaluator`. It is reimplemented
because importing that class costs the status service 2 s and 160 MB; a test compares the results of the two.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

from nefstudy.insight.declared import CellKey, Declarations, Declared
from nefstudy.insight.table import Column, Table
from nefstudy.insight.trials import TrialColumns, is_number

TOP = 0.1  # share of the trials that count as best
MIN_TRIALS = 20  # of a cell; shares are meaningless with fewer than two best trials
STEPS = 50  # grid points of a range
PRIOR = 1.0  # weight of the prior, in observations
TINY = 1e-12
MIN_WIDTH = 0.5 / 1.64  # of a kernel, in grid points: 90 % of its mass falls on one point
POOLED = "all"

Dimension = Mapping[str, Any]
"""A free parameter as in the plan: `kind` with `low`, `high`, `log` and `multiple`, or with `values`."""


def importance_columns(declared: Declarations, *, phase: str | None, cell: str | None) -> list[str]:
    """Return the columns that `importance` needs."""
    chosen = list(_chosen(declared, phase=phase, cell=cell))
    return list(dict.fromkeys(["phase", "cell", *(name for d in chosen for name in (d.objective, *d.space))]))


def importance(
    trials: TrialColumns, declared: Declarations, *, phase: str | None = None, cell: str | None = None
) -> Table:
    """Return a table of each free parameter's share of the importance in each cell, largest share first.

    If there are several cells, their mean shares come first, as cell `all`, weighted by numbers of trials.
    """
    ranked: dict[CellKey, tuple[int, dict[str, float]]] = {}
    short: list[str] = []
    groups = dict(trials.groups("phase", "cell"))
    for own in _chosen(declared, phase=phase, cell=cell):
        drawn = within_space(groups.get((own.phase, own.cell), TrialColumns({})), own)
        if own.space and len(drawn) >= MIN_TRIALS:
            ranked[own.phase, own.cell] = len(drawn), shares(drawn, own)
        elif own.space:
            short.append(f"{own.phase} {own.cell} has {len(drawn)}")
    rows = [
        (phase_name, cell_name, name, share, n)
        for (phase_name, cell_name), (n, by_name) in ([*_pooled(ranked), *ranked.items()])
        for name, share in sorted(by_name.items(), key=lambda item: (-item[1], item[0]))
    ]
    return Table(
        id="importance",
        title="Parameter importance",
        caption=_caption(declared, ranked, short=short),
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
    """Return an additional cell with the mean shares over all cells, each cell weighted by its number of trials.

    Return nothing if there is only one cell.
    """
    if len(ranked) < 2:
        return []
    total = sum(n for n, _ in ranked.values())
    names = dict.fromkeys(name for _, by_name in ranked.values() for name in by_name)
    mean = {name: sum(n * by_name.get(name, 0.0) for n, by_name in ranked.values()) / total for name in names}
    phases = {phase for phase, _ in ranked}
    return [((phases.pop() if len(phases) == 1 else POOLED, POOLED), (total, mean))]


def _caption(
    declared: Declarations, ranked: Mapping[CellKey, tuple[int, dict[str, float]]], *, short: Sequence[str]
) -> str:
    if not ranked and not short:
        return "The plan leaves no parameter free here, so there is nothing to rank."
    if not ranked:
        return f"Computed once a cell has {MIN_TRIALS} complete trials; so far {', '.join(short)}."
    metrics = {declared.of(*cell_key).objective_metric.label for cell_key in ranked}
    too_few = f" Too few trials: {', '.join(short)} (at least {MIN_TRIALS})." if short else ""
    labels = " or ".join(sorted(metrics))
    return (
        f"Share of each free parameter in what distinguishes the best 10 % of a cell's trials, by {labels}, from all "
        f"its trials (PED-ANOVA).{too_few}"
    )


def within_space(trials: TrialColumns, own: Declared) -> TrialColumns:
    """Return the trials with a finite score whose parameters all lie in the cell's search space."""
    scores = trials[own.objective]
    columns = {name: trials[name] for name in own.space}

    def is_drawn(index: int) -> bool:
        inside = all(_is_inside(own.space[name], values[index]) for name, values in columns.items())
        return is_number(scores[index]) and inside

    return trials.where(is_drawn)


def _is_inside(dimension: Dimension, value: object) -> bool:
    if dimension["kind"] == "Categorical":
        return value in dimension["values"]
    if not is_number(value):
        return False
    return bool(dimension["low"] <= value <= dimension["high"]) and value % dimension.get("multiple", value or 1) == 0


def shares(trials: TrialColumns, own: Declared) -> dict[str, float]:
    """Return each free parameter's share of the importance; the shares sum to 1 unless no parameter varies.

    Args:
        trials: trials of one cell, all within its space and with a finite score.
    """
    return shares_of(own.space, {name: trials[name] for name in own.space}, trials[own.objective], sign=own.sign)


def shares_of(
    space: Mapping[str, Dimension], columns: Mapping[str, Sequence[Any]], scores: Sequence[float], *, sign: int
) -> dict[str, float]:
    """Return each free parameter's share of the importance, computed from columns of values and their scores.

    Args:
        columns: values of each parameter, all within the space, in the order of the scores.
        sign: 1 if higher scores are better, -1 if lower ones are.
    """
    if len(scores) < 2:
        return dict.fromkeys(space, 0.0)
    losses = [-sign * score for score in scores]
    cut = sorted(losses)[math.ceil(TOP * len(losses)) - 1]
    best = [index for index, loss in enumerate(losses) if loss <= cut]
    divergences = {name: _divergence(dimension, columns[name], best) for name, dimension in space.items()}
    total = sum(divergences.values())
    return {name: value / total if total else 0.0 for name, value in divergences.items()}


def _divergence(dimension: Dimension, values: Sequence[Any], best: Sequence[int]) -> float:
    """Return Pearson's divergence between a parameter's densities over the best and over all trials."""
    size, points = _on_grid(dimension, values)
    if size < 2:
        return 0.0
    density = _categorical if dimension["kind"] == "Categorical" else _numerical
    every = [p + TINY for p in density(points, size)]
    top = [p + TINY for p in density([points[index] for index in best], size)]
    return math.fsum(q * (p / q - 1) ** 2 for p, q in zip(top, every, strict=True))


def _on_grid(dimension: Dimension, values: Sequence[Any]) -> tuple[int, list[int]]:
    """Return the number of grid points, and the index of the grid point nearest to each value."""
    if dimension["kind"] == "Categorical":
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
    points = [math.ceil((scale(value / multiple) - first) / step - 0.5) for value in values]
    return size, [min(size - 1, max(0, point)) for point in points]


def _counted(points: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return the distinct points in ascending order, and the number of occurrences of each point."""
    counts: dict[int, int] = {}
    for point in points:
        counts[point] = counts.get(point, 0) + 1
    at = sorted(counts)
    return at, [counts[point] for point in at]


def _categorical(points: Sequence[int], size: int) -> list[float]:
    """Return a density over categories: smoothed counts and a uniform prior."""
    at, weights = _counted(points)
    leak = PRIOR / (len(at) + 1)
    total = sum(weights) + PRIOR
    kernel = 1 + size * leak
    return [
        (sum(w * (leak + (point == choice)) / kernel for point, w in zip(at, weights, strict=True)) + PRIOR / size)
        / total
        for choice in range(size)
    ]


def _numerical(points: Sequence[int], size: int) -> list[float]:
    """Return a density over grid points: truncated normal kernels with Scott's rule, and a wide prior."""
    at, weights = _counted(points)
    total = sum(weights)
    mean = sum(p * w for p, w in zip(at, weights, strict=True)) / total
    sd = math.sqrt(sum(w * (p - mean) ** 2 for p, w in zip(at, weights, strict=True)) / max(1, total - 1))
    cumulated = list(accumulate(weights))
    lower = at[bisect_left(cumulated, total // 4)]
    upper = at[min(len(at) - 1, bisect_right(cumulated, total * 3 // 4))]
    width = max(1.059 * min((upper - lower) / 1.34, sd) * total**-0.2, MIN_WIDTH)
    kernels = [(float(p), width, float(w)) for p, w in zip(at, weights, strict=True)]
    kernels.append(((size - 1) / 2, float(size), PRIOR))
    density = [0.0] * size
    for center, sigma, weight in kernels:
        edges = [_normal_cdf((point - 0.5 - center) / sigma) for point in range(size + 1)]
        mass = edges[-1] - edges[0]
        for point in range(size):
            density[point] += weight * (edges[point + 1] - edges[point]) / mass / (total + PRIOR)
    return density


def _normal_cdf(z: float) -> float:
    return 0.5 * math.erfc(-z / math.sqrt(2))
