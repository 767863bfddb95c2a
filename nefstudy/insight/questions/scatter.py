"""Scatter plots of two metrics, such as accuracy against quality, structure or smoothness."""

from collections.abc import Sequence
from math import inf
from typing import Any

from nefstudy.insight.correlation import correlation
from nefstudy.insight.declared import Declarations, Declared, DeclaredMetric
from nefstudy.insight.figure import Axis, Figure, Mark, downsample
from nefstudy.insight.questions.ladders import SAME, Ladder, count_column, ladders, ladders_caption
from nefstudy.insight.table import capital, counted
from nefstudy.insight.trials import TrialColumns, having, is_number

MAX_LADDERS = 150  # more lines would hide one another
LABELS = {"cell": "cell", "init": "init", "steps": "steps", "hidden": "hidden", "classifier": "classifier"}
DOT_COLUMNS = ("key", "phase", *LABELS, "signals", "field")
VARYING = frozenset({"steps", "hidden", "classifier"})  # columns to include only if their values differ
CLUSTERED = "clustered"  # metric: number of fields in the clusters of `all_nmi` and `all_ami`
EXPLANATIONS = {
    "all_nmi": "agreement of the labels with k-means on the flattened weights; without class structure it is above 0, "
    "more so for fewer fields",
    "all_ami": "agreement of the labels with k-means on the flattened weights, adjusted for chance: about 0 without "
    "class structure",
    "all_off_grid_ratio_bilinear": "PSNR at cell centers (against the bilinear image) divided by PSNR on the grid; the "
    "bilinear image is blurred, so that the ratio of a poor fit depends more on the image than on the field",
    "all_off_grid_ratio_published": "the published ratio, by a formula inferred from the study's public code; "
    "field and target are shifted against each other there, so that it falls as the PSNR rises",
    "all_off_grid_nmse_ratio": "squared error at cell centers divided by that on the grid, each relative to the "
    "variance of its target",
}


def scatter_columns(declared: Declarations, *, phase: str | None, cell: str | None, x: str, y: str) -> list[str]:
    """Return the columns that `scatter` needs."""
    own = declared.of(phase, cell)
    free = free_names(declared, phase=phase, cell=cell)
    clustered = (CLUSTERED,) if own.metric(x).stem in ("nmi", "ami") else ()
    counts = filter(None, [count_column(y)])
    return list(dict.fromkeys((*DOT_COLUMNS, *SAME, x, y, own.objective, *clustered, *counts, *free)))


def free_names(declared: Declarations, *, phase: str | None, cell: str | None) -> list[str]:
    """Return the free parameters of the chosen cells, in plan order."""
    return list(dict.fromkeys(name for own in declared.chosen(phase, cell) for name in own.space))


def scatter(
    trials: TrialColumns,
    declared: Declarations,
    *,
    id: str,
    x: str,
    y: str,
    joined: bool = False,
    phase: str | None = None,
    cell: str | None = None,
    limit: int = 5_000,
) -> Figure:
    """Return a scatter plot of the trials that have both metrics.

    With `joined`, a line connects the rungs of each ladder.

    Args:
        limit: maximum number of dots; more are downsampled evenly over the plane. The caption uses all trials.
    """
    own = declared.of(phase, cell)
    shown = having(trials, x, y)
    x_metric, y_metric = own.metric(x), own.metric(y)
    scores = [own.sign * score if is_number(score) else -inf for score in shown[own.objective]]
    by = free_names(declared, phase=phase, cell=cell)
    joined_ladders = ladders(shown, y=y, scores=scores, by=by) if joined else []
    kept = downsample(shown[x], shown[y], limit=limit)
    columns = [name for name in DOT_COLUMNS if name not in VARYING or len(set(shown[name])) > 1]
    dots = {name: [shown[name][i] for i in kept] for name in columns}
    dots |= {"x": [shown[x][i] for i in kept], "y": [shown[y][i] for i in kept]}
    return Figure(
        id=id,
        title=f"{capital(y_metric.label)} against {x_metric.label}",
        caption=_caption(
            shown,
            own,
            x=x_metric,
            y=y_metric,
            ladders=joined_ladders,
            scores=scores if joined else None,
            kept=len(kept),
        ),
        x=_x_axis(x_metric),
        y=y_metric.axis(),
        marks=(
            *(_joined(shown, joined_ladders, x=x) if 0 < len(joined_ladders) <= MAX_LADDERS else ()),
            Mark("dot", dots),
            *_chance(shown, declared, y=y),
        ),
        color="init",
        symbol="signals",
        facet="field",
        of=len(shown),
        names={name: label for name, label in LABELS.items() if name in columns},
    )


def _x_axis(metric: DeclaredMetric) -> Axis:
    if metric.name == "steps":
        return Axis("fitting steps", scale="log")
    return Axis(metric.label, metric.unit)  # without the domain, so that differences in x remain visible


def _joined(trials: TrialColumns, ladders: Sequence[Ladder], *, x: str) -> tuple[Mark, ...]:
    """Return a line along each ladder, with a ring and an interval at the picked rung if the ladder is long enough."""
    along = [(index, number) for number, ladder in enumerate(ladders) for index in ladder.rungs]
    lines = {name: [trials[name][index] for index, _ in along] for name in ("init", "field", "hidden")}
    y_by_index = {index: y for ladder in ladders for index, y in zip(ladder.rungs, ladder.y, strict=True)}
    xs, ys = [trials[x][index] for index, _ in along], [y_by_index[index] for index, _ in along]
    long = [ladder for ladder in ladders if ladder.is_described]
    return (
        Mark("line", lines | {"x": xs, "y": ys, "z": [number for _, number in along]}),
        Mark("ring", _picked(trials, long, x=x)),
        *_intervals(trials, [ladder for ladder in long if ladder.intervals[ladder.picked] is not None], x=x),
    )


def _picked(trials: TrialColumns, ladders: Sequence[Ladder], *, x: str) -> dict[str, list[Any]]:
    """Return the columns of the picked rungs."""
    at = [ladder.rungs[ladder.picked] for ladder in ladders]
    columns = {name: [trials[name][index] for index in at] for name in ("init", "field")}
    return columns | {"x": [trials[x][index] for index in at], "y": [ladder.y[ladder.picked] for ladder in ladders]}


def _intervals(trials: TrialColumns, ladders: Sequence[Ladder], *, x: str) -> tuple[Mark, ...]:
    """Return the 95 % interval of y at each picked rung."""
    if not ladders:
        return ()
    picked = _picked(trials, ladders, x=x)
    del picked["y"]
    low, high = zip(*(present for ladder in ladders if (present := ladder.intervals[ladder.picked])), strict=True)
    return (Mark("interval", picked | {"y1": list(low), "y2": list(high)}),)


def _chance(trials: TrialColumns, declared: Declarations, *, y: str) -> tuple[Mark, ...]:
    """Return a line at the value of y that random guessing gives, if it is the same for all trials shown."""
    cells = set(zip(trials["phase"], trials["cell"], strict=True))
    levels = {declared.of(*at).metric(y).chance for at in cells}
    level = levels.pop() if len(levels) == 1 else None
    return () if level is None else (Mark("rule", {"y": [level]}, label="chance"),)


def _caption(
    trials: TrialColumns,
    own: Declared,
    *,
    x: DeclaredMetric,
    y: DeclaredMetric,
    ladders: Sequence[Ladder],
    scores: Sequence[float] | None,
    kept: int,
) -> str:
    if not len(trials):
        return "No complete trial has both metrics yet."
    parts = [counted(len(trials), "complete trial") + ("." if kept == len(trials) else f", {kept:,} shown.")]
    if scores is not None:
        objective = own.objective_metric.label
        parts.append(_drawn(ladders, objective))
        sign = -1 if y.direction == "minimize" else 1
        parts.append(
            ladders_caption(ladders, y_label=y.label, objective=objective, scores=scores, sign=sign, digits=y.digits)
        )
    else:
        if x.name in EXPLANATIONS:
            parts.append(f"{capital(x.label)}: {EXPLANATIONS[x.name]}{_of_fields(trials)}.")
        parts.append(_rank_correlations(trials, x=x.name, y=y.name))
    return " ".join(filter(None, parts))


def _of_fields(trials: TrialColumns) -> str:
    """Return the end of a sentence that gives the number of clustered fields, or an empty string if it is unknown."""
    counts = [count for count in trials[CLUSTERED] if is_number(count)]
    if not counts:
        return ""
    numbers = dict.fromkeys(f"{count:,.0f}" for count in (min(counts), max(counts)))
    return f" (n = {' to '.join(numbers)} fields)"


def _drawn(ladders: Sequence[Ladder], objective: str) -> str:
    """Return a sentence on the lines, rings and bars of ladders, or an empty string if none are drawn."""
    if not 0 < len(ladders) <= MAX_LADDERS:
        return ""
    long = [ladder for ladder in ladders if ladder.is_described]
    ring = f"; with three or more rungs, a ring marks the one with the best {objective}" if long else ""
    bar = ", and a bar its 95 % interval" if any(ladder.intervals[ladder.picked] for ladder in long) else ""
    return f"Each line is a ladder: one fit, with a rung for each of several step counts{ring}{bar}."


def _rank_correlations(trials: TrialColumns, *, x: str, y: str) -> str:
    """Return a sentence with the rank correlation of each initialization, or an empty string."""
    parts = []
    for (init,), group in trials.groups("init"):
        rank_correlation = correlation(group[x], group[y])
        if rank_correlation is not None:
            parts.append(f"{init} {rank_correlation}" if init is not None else str(rank_correlation))
    return f"Rank correlation: {'; '.join(sorted(parts))}." if parts else ""
