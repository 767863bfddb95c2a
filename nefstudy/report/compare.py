"""Two studies side by side: paired differences of what both have run, and each cell's best and mean."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from nefstudy.errors import BadConfig
from nefstudy.ledger import Ledger, TrialRow
from nefstudy.ledger.replicates import Interval, interval, setting
from nefstudy.report.figures import FAINT, INK, POINT, dress, say_empty
from nefstudy.report.tables import Accuracy, best_table, finished, summarise

Place = tuple[str, str]  # phase, cell
METRICS = ("val_accuracy", "test_accuracy", "quality")


@dataclass(frozen=True)
class Pair:
    """One setting in both studies: the trials of each, more than one where seeds or what is left out differ."""

    place: Place
    left: tuple[TrialRow, ...]
    right: tuple[TrialRow, ...]

    def difference(self, metric: str) -> float | None:
        """Mean of the right less that of the left; None where one lacks the metric."""
        sides = [
            [value for row in side if (value := _value(row, metric)) is not None] for side in (self.left, self.right)
        ]
        return fmean(sides[1]) - fmean(sides[0]) if all(sides) else None


@dataclass(frozen=True)
class CellSide:
    """One study in one phase and cell: its best trial by validation, and test accuracy over all."""

    best: TrialRow | None
    test: Accuracy | None


@dataclass(frozen=True)
class Comparison:
    """Two studies, the settings they share, and their cells.

    Attributes:
        names: of the left and the right study; differences are right less left.
        without: parts of the configuration that were left out when trials were paired.
    """

    names: tuple[str, str]
    without: tuple[str, ...]
    pairs: tuple[Pair, ...]
    cells: Mapping[Place, tuple[CellSide, CellSide]]

    def differences(self, place: Place | None, metric: str) -> Interval | None:
        """Mean paired difference with its 95 % interval, of one phase and cell or of all; None without a pair."""
        pairs = [pair for pair in self.pairs if place in (None, pair.place)]
        found = [value for pair in pairs if (value := pair.difference(metric)) is not None]
        return interval(found) if found else None


def compare(left: tuple[Ledger, str], right: tuple[Ledger, str], *, without: Sequence[str] = ()) -> Comparison:
    """Compare two studies, of one ledger or of two.

    Args:
        without: paths of the configuration to leave out when pairing, as `classifier`; with none, trials are
            paired by their digest.

    Raises:
        BadConfig: a ledger holds no study of that name.
    """
    sides = [_rows(*left), _rows(*right)]
    groups: list[dict[tuple[Place, str], list[TrialRow]]] = []
    for rows in sides:
        grouped: dict[tuple[Place, str], list[TrialRow]] = defaultdict(list)
        for row in rows:
            named = setting(row.config, without=without) if without else row.key
            grouped[(row.phase, row.cell), named].append(row)
        groups.append(grouped)
    common = sorted(groups[0].keys() & groups[1].keys())
    pairs = tuple(Pair(name[0], tuple(groups[0][name]), tuple(groups[1][name])) for name in common)
    places = sorted({(row.phase, row.cell) for rows in sides for row in rows})
    cells = {place: (_side(sides[0], place), _side(sides[1], place)) for place in places}
    return Comparison((left[1], right[1]), tuple(without), pairs, cells)


def _rows(ledger: Ledger, study: str) -> list[TrialRow]:
    if ledger.studies.get(study) is None:
        known = ", ".join(row.study for row in ledger.studies.all()) or "none"
        raise BadConfig(f"study = {study!r}: the ledger knows {known}; name one of them")
    return finished(ledger.trials.page(study, limit=None).rows)


def _side(rows: Iterable[TrialRow], place: Place) -> CellSide:
    own = [row for row in rows if (row.phase, row.cell) == place]
    best = best_table(own)
    tests = [row.test_accuracy for row in own if row.test_accuracy is not None]
    return CellSide(best[0] if best else None, summarise(tests) if tests else None)


def _value(row: TrialRow, metric: str) -> float | None:
    found = getattr(row, metric)
    return None if found is None else float(found)


def difference_cells(found: Comparison) -> tuple[list[str], list[list[str]]]:
    """Header and body of the table of paired differences, all pairs together last."""
    places: list[Place | None] = [*sorted({pair.place for pair in found.pairs}), None]
    body = []
    for place in places:
        number = sum(place in (None, pair.place) for pair in found.pairs)
        shown = [_shown(found.differences(place, metric)) for metric in METRICS]
        body.append([*(("all", "") if place is None else (place[1], place[0])), str(number), *shown])
    return ["cell", "phase", "pairs", "val", "test", "quality"], body


def _shown(value: Interval | None) -> str:
    if value is None:
        return "–"
    return f"{value.mean:+.4f}" + ("" if value.half is None else f" ± {value.half:.4f}")


def cell_cells(found: Comparison) -> tuple[list[str], list[list[str]]]:
    """Header and body of the table of cells: best by validation with its test accuracy, and the mean over all."""
    body = []
    for (phase, cell), sides in found.cells.items():
        for name, side in zip(found.names, sides, strict=True):
            best = ["–", "–"]
            if side.best is not None:
                best = [f"{side.best.val_accuracy or 0:.3f}", f"{side.best.test_accuracy or 0:.3f}"]
            n, mean = ("0", "–") if side.test is None else (str(side.test.n), str(side.test))
            body.append([cell, phase, name, *best, n, mean])
    return ["cell", "phase", "study", "best val", "its test", "n", "mean test"], body


def pair_rows(found: Comparison) -> list[list[str | int | float | None]]:
    """Every pair as a CSV row, header first."""
    rows: list[list[str | int | float | None]] = [
        ["cell", "phase", "init", "hidden", "steps", "n_left", "n_right", *(f"difference_{m}" for m in METRICS),
         "left_keys", "right_keys"]
    ]  # fmt: skip
    for pair in found.pairs:
        row = pair.left[0]
        keys = [" ".join(trial.key for trial in side) for side in (pair.left, pair.right)]
        differences = [pair.difference(metric) for metric in METRICS]
        rows.append(
            [
                row.cell,
                row.phase,
                row.init,
                row.hidden,
                row.steps,
                len(pair.left),
                len(pair.right),
                *differences,
                *keys,
            ]
        )
    return rows


def draw_pairs(found: Comparison) -> Figure:
    """Test accuracy of each pair, left across and right up; above the diagonal the right study is better."""
    figure = Figure(figsize=(4.6, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    dress(axes, title="Test accuracy of the same settings", x_label=found.names[0])
    axes.set_ylabel(found.names[1], fontsize=9)
    if not found.pairs:
        say_empty(axes)
        return figure
    points = [tuple(fmean(row.test_accuracy or 0.0 for row in side) for side in (p.left, p.right)) for p in found.pairs]
    axes.axline((0, 0), slope=1, color=FAINT, linewidth=1)
    axes.scatter([x for x, _ in points], [y for _, y in points], s=POINT, color=INK, alpha=0.7, linewidths=0)
    low, high = min(map(min, points)), max(map(max, points))
    margin = 0.04 * (high - low) or 0.02
    axes.set_xlim(low - margin, high + margin)
    axes.set_ylim(low - margin, high + margin)
    return figure
