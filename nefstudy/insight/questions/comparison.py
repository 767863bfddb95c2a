"""A comparison of two studies: paired differences of shared settings, and the trials of each cell."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from nefstudy.insight.declared import CellKey, Declarations, DeclaredMetric
from nefstudy.insight.figure import Axis, Figure, Mark
from nefstudy.insight.questions.best import best_of_cells
from nefstudy.insight.questions.scatter import LABELS
from nefstudy.insight.table import Cell, Column, Mean, Table, TrialRef, capital, counted, mean_of
from nefstudy.insight.trials import TrialColumns, is_number, setting

COLUMNS = ("key", "phase", *LABELS, "parameters")


@dataclass(frozen=True)
class Pair:
    """The matching trials of two studies: those that each study ran with the same setting.

    A side has several trials if they differ only in seeds or excluded parameters.
    """

    cell_key: CellKey
    left: TrialColumns
    right: TrialColumns

    def means(self, metric: str) -> tuple[float, float] | None:
        """Return the mean metric of each study's trials, or None if one study lacks the metric."""
        sides = [[value for value in side[metric] if is_number(value)] for side in (self.left, self.right)]
        return (fmean(sides[0]), fmean(sides[1])) if all(sides) else None

    def difference(self, metric: str) -> float | None:
        """Return the right study's mean minus the left study's mean, or None if one study lacks the metric."""
        means = self.means(metric)
        return None if means is None else means[1] - means[0]


@dataclass(frozen=True)
class Comparison:
    """Two studies and the settings that they share.

    Attributes:
        names: names of the left and the right study; differences are right minus left.
        without: parameters that are ignored when pairing trials.
        metrics: metrics to compare: objective, reported metric and quality.
    """

    names: tuple[str, str]
    without: tuple[str, ...]
    sides: tuple[TrialColumns, TrialColumns]
    pairs: tuple[Pair, ...]
    declared: Declarations
    metrics: tuple[DeclaredMetric, ...]

    def differences(self, cell_key: CellKey | None, metric: str) -> Mean | None:
        """Return the mean paired difference in one phase and cell, or over all phases and cells.

        Return None if there is no pair.
        """
        pairs = [pair for pair in self.pairs if cell_key in (None, pair.cell_key)]
        values = [value for pair in pairs if (value := pair.difference(metric)) is not None]
        return mean_of(values) if values else None


def compare(
    left: tuple[str, TrialColumns],
    right: tuple[str, TrialColumns],
    declared: Declarations,
    *,
    without: Sequence[str] = (),
) -> Comparison:
    """Return the comparison of two studies' complete trials.

    Args:
        declared: declarations of the left study's plan; its objectives apply to both studies.
        without: parameters to ignore when pairing, such as `classifier`. If empty, trials are paired by their digest.
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


def _grouped(trials: TrialColumns, without: Sequence[str]) -> dict[tuple[CellKey, object], list[int]]:
    indices: dict[tuple[CellKey, object], list[int]] = defaultdict(list)
    for index, (phase, cell) in enumerate(zip(trials["phase"], trials["cell"], strict=True)):
        parameters = trials["parameters"][index] or {}
        identity = setting(parameters, without=without) if without else trials["key"][index]
        indices[(phase, cell), identity].append(index)
    return indices


def _metrics(trials: TrialColumns, declared: Declarations) -> tuple[DeclaredMetric, ...]:
    metrics: dict[str, DeclaredMetric] = {}
    for (phase, cell), group in trials.groups("phase", "cell"):
        own = declared.of(phase, cell)
        for metric in (own.objective_metric, own.reported, own.compared(group), own.headline(group)):
            if metric is not None:
                metrics.setdefault(metric.name, metric)
    return tuple(metrics.values())


def differences(comparison: Comparison) -> Table:
    """Return a table of the mean paired differences in each phase and cell, and over all pairs."""
    cell_keys: list[CellKey | None] = [*sorted({pair.cell_key for pair in comparison.pairs}), None]
    left, right = comparison.names
    pairing = "the same configuration (by digest)"
    if comparison.without:
        ignored = ", ".join(comparison.without)
        pairing = f"the same configuration except {ignored} and seeds, averaged on each side"
    return Table(
        id="differences",
        title=f"Differences, {right} minus {left}",
        caption=f"{counted(len(comparison.pairs), 'pair')} of complete trials with {pairing}. Mean of the paired "
        "differences ± half the width of its 95 % confidence interval (Student's t over pairs). Pairs that share a "
        "neural dataset are not independent, so an interval over rungs of one ladder is too narrow.",
        columns=(
            Column("cell", "cell"),
            Column("phase", "phase"),
            Column("pairs", "pairs", "count"),
            *(Column(m.name, m.label, "difference", m.unit, m.digits + 1) for m in comparison.metrics),
        ),
        rows=tuple(
            (
                *(("all", "") if cell_key is None else (cell_key[1], cell_key[0])),
                sum(cell_key in (None, pair.cell_key) for pair in comparison.pairs),
                *(comparison.differences(cell_key, metric.name) for metric in comparison.metrics),
            )
            for cell_key in cell_keys
        ),
        of=len(comparison.pairs),
    )


def cells(comparison: Comparison) -> Table:
    """Return a table of each study's cells with the best trial and the mean metric over all trials."""
    rows: list[tuple[Cell, ...]] = []
    cell_keys = {key for trials in comparison.sides for key in zip(trials["phase"], trials["cell"], strict=True)}
    for phase, cell in sorted(cell_keys, key=lambda key: comparison.declared.order(*key)):
        own = comparison.declared.of(phase, cell)
        sides = [
            trials.where(lambda i: (trials["phase"][i], trials["cell"][i]) == (phase, cell))  # noqa: B023
            for trials in comparison.sides
        ]
        compared = {own.compared(side).name for side in sides if len(side)}
        metric = compared.pop() if len(compared) == 1 else own.shown.name
        for name, in_cell in zip(comparison.names, sides, strict=True):
            top = best_of_cells(in_cell, comparison.declared)
            values = [value for value in in_cell[metric] if is_number(value)]
            best: tuple[Cell, ...] = (None, None)
            if len(top):
                best = top[own.objective][0], top[own.reported.name][0] if own.reported else None
            rows.append((cell, phase, name, *best, mean_of(values) if values else None, len(values)))
    has_test = any(row[4] is not None for row in rows)
    return Table(
        id="cells",
        title="Cells",
        caption="The best trial is selected by the objective"
        f"{'; its test metric is shown, but not used for selection' if has_test else ''}. "
        "Mean ± standard deviation over all n finished trials: compare means only if both studies ran the same "
        "settings.",
        columns=(
            Column("cell", "cell"),
            Column("phase", "phase"),
            Column("study", "study"),
            Column("best", "best", "number"),
            *((Column("reported", "test metric", "number"),) if has_test else ()),
            Column("mean", "mean", "mean", sure=False),
            Column("n", "n", "count"),
        ),
        rows=tuple(row if has_test else (*row[:4], *row[5:]) for row in rows),
        of=sum(map(len, comparison.sides)),
    )


def pair_table(comparison: Comparison) -> Table:
    """Return a table of all pairs with their differences and keys."""
    labels = [name for name in LABELS if name != "cell" and any(v is not None for v in comparison.sides[0][name])]
    return Table(
        id="pairs",
        title="Pairs",
        caption=f"{len(comparison.pairs):,} pairs.",
        columns=(
            Column("cell", "cell"),
            Column("phase", "phase"),
            *(Column(name, LABELS[name]) for name in labels),
            Column("n_left", "trials, left", "count"),
            Column("n_right", "trials, right", "count"),
            *(Column(f"difference_{m.name}", m.label, "number", m.unit, m.digits + 1) for m in comparison.metrics),
            Column("left", "left", "trial"),
            Column("right", "right", "trial"),
            Column("left_keys", "left keys", detail=True),
            Column("right_keys", "right keys", detail=True),
        ),
        rows=tuple(_pair_row(pair, comparison.metrics, labels) for pair in comparison.pairs),
        of=len(comparison.pairs),
    )


def _pair_row(pair: Pair, metrics: Sequence[DeclaredMetric], labels: Sequence[str]) -> tuple[Cell, ...]:
    sides = (pair.left, pair.right)
    return (
        pair.cell_key[1],
        pair.cell_key[0],
        *(pair.left[name][0] for name in labels),
        *map(len, sides),
        *(pair.difference(metric.name) for metric in metrics),
        *(TrialRef(side["key"][0], side["phase"][0]) for side in sides),
        *(" ".join(side["key"]) for side in sides),
    )


def pair_figure(comparison: Comparison) -> Figure:
    """Return a scatter plot of the pairs: the left study on x, the right study on y, and the diagonal."""
    cell_key = comparison.pairs[0].cell_key if comparison.pairs else (None, None)
    metric = comparison.declared.of(*cell_key).shown
    points = [(pair, means) for pair in comparison.pairs if (means := pair.means(metric.name)) is not None]
    values = [value for _, means in points for value in means]
    ends = [min(values), max(values)] if values else []
    better = "below" if metric.direction == "minimize" else "above"
    columns: Mapping[str, list[object]] = {
        "x": [means[0] for _, means in points],
        "y": [means[1] for _, means in points],
        "key": [pair.left["key"][0] for pair, _ in points],
        "phase": [pair.cell_key[0] for pair, _ in points],
        "cell": [pair.cell_key[1] for pair, _ in points],
    }
    return Figure(
        id="pairs",
        title=capital(f"{metric.label} of the same settings"),
        caption=f"Each point is one of {len(points):,} pairs; {better} the diagonal {comparison.names[1]} is better.",
        x=Axis(comparison.names[0], metric.unit),
        y=Axis(comparison.names[1], metric.unit),
        marks=(Mark("line", {"x": ends, "y": ends, "z": [0] * len(ends)}), Mark("dot", columns)),
        of=len(points),
    )
