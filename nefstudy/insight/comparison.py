"""Two studies side by side: paired differences of what both have run, and each cell's best and mean."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from nefstudy.insight.best import best_of_cells
from nefstudy.insight.declared import CellKey, Declarations, Metric
from nefstudy.insight.figure import Axis, Figure, Mark
from nefstudy.insight.scatter import LABELS
from nefstudy.insight.table import Cell, Column, Mean, Table, TrialRef, capital, mean_of
from nefstudy.insight.trials import Trials, is_number, setting

COLUMNS = ("key", "phase", *LABELS, "parameters")


@dataclass(frozen=True)
class Pair:
    """One setting in both studies: the trials of each, more than one where seeds or what is left out differ."""

    place: CellKey
    left: Trials
    right: Trials

    def means(self, metric: str) -> tuple[float, float] | None:
        """Return the mean of each side; None where one lacks the metric."""
        sides = [[value for value in side[metric] if is_number(value)] for side in (self.left, self.right)]
        return (fmean(sides[0]), fmean(sides[1])) if all(sides) else None

    def difference(self, metric: str) -> float | None:
        """Return the mean of the right less that of the left; None where one lacks the metric."""
        means = self.means(metric)
        return None if means is None else means[1] - means[0]


@dataclass(frozen=True)
class Comparison:
    """Two studies, the settings that they share, and their cells.

    Attributes:
        names: of the left and the right study; differences are right less left.
        without: parameters that were left out when trials were paired.
        metrics: that are compared: what picks, what is reported, and the quality.
    """

    names: tuple[str, str]
    without: tuple[str, ...]
    sides: tuple[Trials, Trials]
    pairs: tuple[Pair, ...]
    declared: Declarations
    metrics: tuple[Metric, ...]

    def differences(self, place: CellKey | None, metric: str) -> Mean | None:
        """Return the mean paired difference of one phase and cell, or of all; None without a pair."""
        pairs = [pair for pair in self.pairs if place in (None, pair.place)]
        found = [value for pair in pairs if (value := pair.difference(metric)) is not None]
        return mean_of(found) if found else None


def compare(
    left: tuple[str, Trials], right: tuple[str, Trials], declared: Declarations, *, without: Sequence[str] = ()
) -> Comparison:
    """Return the comparison of two studies' complete trials.

    Args:
        declared: declarations of the left study's plan; both are read by its objectives.
        without: parameters to leave out when pairing, as `classifier`; with none, trials are paired by their digest.
    """
    groups = [_grouped(trials, without) for _, trials in (left, right)]
    common = sorted(groups[0].keys() & groups[1].keys(), key=repr)
    pairs = tuple(Pair(name[0], left[1].at(groups[0][name]), right[1].at(groups[1][name])) for name in common)
    return Comparison(
        names=(left[0], right[0]),
        without=tuple(without),
        sides=(left[1], right[1]),
        pairs=pairs,
        declared=declared,
        metrics=_metrics(left[1], declared),
    )


def _grouped(trials: Trials, without: Sequence[str]) -> dict[tuple[CellKey, object], list[int]]:
    grouped: dict[tuple[CellKey, object], list[int]] = defaultdict(list)
    for index, (phase, cell) in enumerate(zip(trials["phase"], trials["cell"], strict=True)):
        parameters = trials["parameters"][index] or {}
        named = setting(parameters, without=without) if without else trials["key"][index]
        grouped[(phase, cell), named].append(index)
    return grouped


def _metrics(trials: Trials, declared: Declarations) -> tuple[Metric, ...]:
    found: dict[str, Metric] = {}
    for (phase, cell), group in trials.groups("phase", "cell"):
        own = declared.of(phase, cell)
        for metric in (own.objective_metric, own.reported, own.headline(group)):
            if metric is not None:
                found.setdefault(metric.name, metric)
    return tuple(found.values())


def differences(found: Comparison) -> Table:
    """Return the paired differences of each phase and cell, all pairs together last."""
    places: list[CellKey | None] = [*sorted({pair.place for pair in found.pairs}), None]
    left, right = found.names
    how = "the same configuration, by its digest"
    if found.without:
        how = f"the same configuration but for {', '.join(found.without)} and seeds, means where there are more"
    return Table(
        id="differences",
        title=f"Differences, {right} less {left}",
        caption=f"{len(found.pairs):,} pairs of complete trials of {how}. Mean of the paired differences ± half of its "
        "95 % interval (Student's t over pairs). Pairs that share a neural dataset are not independent, so an interval "
        "over rungs of one ladder is too narrow.",
        columns=(
            Column("cell", "cell"),
            Column("phase", "phase"),
            Column("pairs", "pairs", "count"),
            *(Column(m.name, m.label, "difference", m.unit, m.digits + 1) for m in found.metrics),
        ),
        rows=tuple(
            (
                *(("all", "") if place is None else (place[1], place[0])),
                sum(place in (None, pair.place) for pair in found.pairs),
                *(found.differences(place, metric.name) for metric in found.metrics),
            )
            for place in places
        ),
        of=len(found.pairs),
    )


def cells(found: Comparison) -> Table:
    """Return each study's cells: its best trial, and the mean metric over all of its trials."""
    rows: list[tuple[Cell, ...]] = []
    places = {place for trials in found.sides for place in zip(trials["phase"], trials["cell"], strict=True)}
    for phase, cell in sorted(places, key=lambda place: found.declared.order(*place)):
        own = found.declared.of(phase, cell)
        for name, trials in zip(found.names, found.sides, strict=True):
            mine = trials.where(lambda i: (trials["phase"][i], trials["cell"][i]) == (phase, cell))  # noqa: B023
            top = best_of_cells(mine, found.declared)
            values = [value for value in mine[own.shown.name] if is_number(value)]
            best: tuple[Cell, ...] = (None, None)
            if len(top):
                best = top[own.objective][0], top[own.reported.name][0] if own.reported else None
            rows.append((cell, phase, name, *best, mean_of(values) if values else None, len(values)))
    return Table(
        id="cells",
        title="Cells",
        caption="The objective picks the best trial; its test metric is only reported. Mean ± standard deviation over "
        "n finished trials, whatever their settings: compare it only where both ran the same.",
        columns=(
            Column("cell", "cell"),
            Column("phase", "phase"),
            Column("study", "study"),
            Column("best", "best", "number"),
            Column("reported", "its test", "number"),
            Column("mean", "mean", "mean", sure=False),
            Column("n", "n", "count"),
        ),
        rows=tuple(rows),
        of=sum(map(len, found.sides)),
    )


def pair_table(found: Comparison) -> Table:
    """Return every pair with its differences and keys."""
    labels = [name for name in LABELS if name != "cell" and any(v is not None for v in found.sides[0][name])]
    return Table(
        id="pairs",
        title="Pairs",
        caption=f"{len(found.pairs):,} pairs.",
        columns=(
            Column("cell", "cell"),
            Column("phase", "phase"),
            *(Column(name, LABELS[name]) for name in labels),
            Column("n_left", "n left", "count"),
            Column("n_right", "n right", "count"),
            *(Column(f"difference_{m.name}", m.label, "number", m.unit, m.digits + 1) for m in found.metrics),
            Column("left", "left", "trial"),
            Column("right", "right", "trial"),
            Column("left_keys", "left keys", detail=True),
            Column("right_keys", "right keys", detail=True),
        ),
        rows=tuple(_pair_row(pair, found.metrics, labels) for pair in found.pairs),
        of=len(found.pairs),
    )


def _pair_row(pair: Pair, metrics: Sequence[Metric], labels: Sequence[str]) -> tuple[Cell, ...]:
    sides = (pair.left, pair.right)
    return (
        pair.place[1],
        pair.place[0],
        *(pair.left[name][0] for name in labels),
        *map(len, sides),
        *(pair.difference(metric.name) for metric in metrics),
        *(TrialRef(side["key"][0], side["phase"][0]) for side in sides),
        *(" ".join(side["key"]) for side in sides),
    )


def pair_figure(found: Comparison) -> Figure:
    """Return the metric of each pair, left across and right up, with the diagonal on which both are equal."""
    metric = found.declared.of(*found.pairs[0].place).shown if found.pairs else found.declared.of(None, None).shown
    points = [(pair, means) for pair in found.pairs if (means := pair.means(metric.name)) is not None]
    values = [value for _, means in points for value in means]
    ends = [min(values), max(values)] if values else []
    better = "below" if metric.direction == "minimize" else "above"
    columns: Mapping[str, list[object]] = {
        "x": [means[0] for _, means in points],
        "y": [means[1] for _, means in points],
        "key": [pair.left["key"][0] for pair, _ in points],
        "phase": [pair.place[0] for pair, _ in points],
        "cell": [pair.place[1] for pair, _ in points],
    }
    return Figure(
        id="pairs",
        title=capital(f"{metric.label} of the same settings"),
        caption=f"Each point is one of {len(points):,} pairs; {better} the diagonal {found.names[1]} is better.",
        x=Axis(found.names[0], metric.unit),
        y=Axis(found.names[1], metric.unit),
        marks=(Mark("line", {"x": ends, "y": ends, "z": [0] * len(ends)}), Mark("dot", columns)),
        of=len(points),
    )
