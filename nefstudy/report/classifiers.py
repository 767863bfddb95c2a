"""Classifiers side by side: accuracy by start and field, and how sizes of one kind train.

The second is Figure 1 of the supplement of Papa et al. 2024, for whatever sizes a study holds.
"""

import itertools
import json
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from nefstudy.ledger import Ledger, TrialRow
from nefstudy.report.figures import PANEL_HEIGHT, PANEL_WIDTH, dress, encode
from nefstudy.report.tables import Accuracy, field_order, field_title, finished, start_order, summarise

Curves = Mapping[str, Sequence[tuple[float, float]]]
Column = tuple[str, str]  # field, start

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7")  # Okabe and Ito's palette


@dataclass(frozen=True)
class ClassifierLine:
    """One classifier with one set of hyperparameters, over the fields and starts it was tried on.

    Attributes:
        parameters: fewest and most trained numbers, for they depend on the field.
        accuracy: of the trial that validation picks for each seed, whichever step count it has.
        seconds: mean of training and scoring: of the CPU where it was measured, else by the clock.
    """

    classifier: str
    parameters: tuple[int, int]
    epochs: int
    accuracy: Mapping[Column, Accuracy]
    seconds: float


def classifier_lines(rows: Iterable[TrialRow]) -> list[ClassifierLine]:
    """A line for each classifier and set of hyperparameters among the finished trials, in name and size order."""
    groups: dict[str, list[TrialRow]] = defaultdict(list)
    for row in finished(rows):
        groups[json.dumps(row.config.get("classifier", {}), sort_keys=True)].append(row)
    lines = [_line(found) for found in groups.values()]
    return sorted(lines, key=lambda line: (line.classifier, line.parameters))


def _line(found: Sequence[TrialRow]) -> ClassifierLine:
    sizes = [int(row.metrics.get("classifier_parameters", 0)) for row in found]
    accuracy: dict[Column, list[float]] = defaultdict(list)
    for row in picked(found):
        accuracy[row.field, row.init].append(row.test_accuracy or 0.0)
    return ClassifierLine(
        classifier=found[0].classifier,
        parameters=(min(sizes), max(sizes)),
        epochs=int(found[0].config.get("classifier", {}).get("epochs", 0)),
        accuracy={column: summarise(values) for column, values in accuracy.items()},
        seconds=statistics.fmean(_seconds(row) for row in found),
    )


def picked(rows: Iterable[TrialRow]) -> list[TrialRow]:
    """Of each field, start and seed the trial of highest validation accuracy; a tie goes to fewer steps."""
    best: dict[tuple[str, str, int], TrialRow] = {}
    for row in sorted(rows, key=lambda row: (-(row.val_accuracy or 0.0), row.steps, row.key)):
        best.setdefault((row.field, row.init, row.seed), row)
    return [best[place] for place in sorted(best)]


def _seconds(row: TrialRow) -> float:
    return row.metrics.get("classify_cpu_seconds", row.metrics.get("classify_seconds", 0.0))


def classifier_cells(lines: Sequence[ClassifierLine]) -> list[list[str]]:
    """Header and body of the table: mean test accuracy by field and start, empty where there is no trial."""
    columns = sorted({c for line in lines for c in line.accuracy}, key=lambda c: (field_order(c[0]), start_order(c[1])))
    header = ["classifier", "parameters", "epochs", *(f"{field_title(f)} {s}" for f, s in columns), "s / trial"]
    body = [
        [
            line.classifier,
            " to ".join(dict.fromkeys(f"{count / 1000:.0f}k" for count in line.parameters)),
            str(line.epochs),
            *(str(line.accuracy.get(c, "")) for c in columns),
            f"{line.seconds:.0f}",
        ]
        for line in lines
    ]
    return [header, *body]


def classifier_markdown(lines: Sequence[ClassifierLine]) -> str:
    """The table as Markdown."""
    header, *body = classifier_cells(lines)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *body))


def sized(rows: Iterable[TrialRow]) -> dict[tuple[str, str], list[TrialRow]]:
    """By (classifier, start): its sizes on one field, smallest first, where there is more than one."""
    groups: dict[tuple[str, str, str], dict[float, TrialRow]] = defaultdict(dict)
    for row in finished(rows):
        size = row.metrics.get("classifier_parameters", 0.0)
        groups[row.classifier, row.init, row.field].setdefault(size, row)
    return {
        (name, start): [by_size[size] for size in sorted(by_size)]
        for (name, start, _), by_size in sorted(groups.items())
        if len(by_size) > 1
    }


def draw_sizes(groups: Mapping[tuple[str, str], Sequence[TrialRow]], curves: Mapping[str, Curves]) -> Figure:
    """Accuracy by epoch of each size: solid on the validation split, dashed on the training split.

    Args:
        groups: as `sized` gives them; a row of panels for each start, a column for each classifier.
        curves: a trial's curves by its key.
    """
    names = sorted({name for name, _ in groups})
    starts = sorted({start for _, start in groups}, key=start_order)
    figure = Figure(figsize=(PANEL_WIDTH * len(names) + 0.4, PANEL_HEIGHT * len(starts) + 0.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(starts), len(names), sharey=True, squeeze=False)
    for (i, start), (j, name) in itertools.product(enumerate(starts), enumerate(names)):
        dress(panels[i][j], title=f"{name}, {start} start", x_label="epoch")
        _draw_panel(panels[i][j], groups.get((name, start), ()), curves)
    for axes in panels[:, 0]:
        axes.set_ylabel("accuracy: validation, training dashed", fontsize=9)
    return figure


def _draw_panel(axes: Axes, rows: Sequence[TrialRow], curves: Mapping[str, Curves]) -> None:
    for row, colour in zip(rows, itertools.cycle(COLOURS), strict=False):
        size = f"{row.metrics.get('classifier_parameters', 0) / 1000:.0f}k"
        for curve, line in (("val_accuracy", "-"), ("train_accuracy", "--")):
            points = curves.get(row.key, {}).get(curve, ())
            label = size if line == "-" else None
            axes.plot([x for x, _ in points], [y for _, y in points], line, color=colour, label=label, linewidth=1.4)
    if rows:
        axes.legend(frameon=False, fontsize=8.5)


def classifier_files(ledger: Ledger, rows: Sequence[TrialRow]) -> dict[str, bytes]:
    """Name -> content of the files that set classifiers side by side; none before the first finished trial."""
    lines = classifier_lines(rows)
    if not lines:
        return {}
    found = {"classifiers.md": f"{classifier_markdown(lines)}\n".encode()}
    groups = sized(rows)
    if groups:
        curves = {r.key: ledger.trials.curves(r.study, r.phase, key=r.key) for found in groups.values() for r in found}
        figure = draw_sizes(groups, curves)
        found |= {"classifier_sizes.png": encode(figure, "png"), "classifier_sizes.svg": encode(figure, "svg")}
    return found
