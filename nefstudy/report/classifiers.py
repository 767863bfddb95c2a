"""Training curves of a classifier's sizes: Figure 1 of the supplement of Papa et al. 2024, for the sizes of a study."""

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from nefstudy.insight.initialization import init_order
from nefstudy.ledger import Ledger, TrialRow, TrialState
from nefstudy.report.figures import PANEL_HEIGHT, PANEL_WIDTH, dress, encode

Curves = Mapping[str, Sequence[tuple[float, float]]]
Place = tuple[str, str]
"""Classifier and initialization."""

COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7")  # Okabe and Ito's palette
SIZE = "classifier_parameters"


def sized(rows: Sequence[TrialRow]) -> dict[Place, list[TrialRow]]:
    """Return a trial of each size on one field, smallest first, where a classifier has more than one size."""
    groups: dict[tuple[str, str, str], dict[float, TrialRow]] = defaultdict(dict)
    for row in rows:
        if row.state is TrialState.COMPLETE and SIZE in row.metrics:
            classifier, init, field = (str(row.parameters.get(name, "")) for name in ("classifier", "init", "field"))
            groups[classifier, init, field].setdefault(row.metrics[SIZE], row)
    return {
        (name, init): [by_size[size] for size in sorted(by_size)]
        for (name, init, _), by_size in sorted(groups.items())
        if len(by_size) > 1
    }


def draw_sizes(groups: Mapping[Place, Sequence[TrialRow]], curves: Mapping[str, Curves]) -> Figure:
    """Return accuracy by epoch of each size: solid on the validation split, dashed on the training split.

    Args:
        groups: as `sized` returns them; a row of panels for each initialization, a column for each classifier.
        curves: a trial's curves by its key.
    """
    names = sorted({name for name, _ in groups})
    inits = sorted({init for _, init in groups}, key=init_order)
    figure = Figure(figsize=(PANEL_WIDTH * len(names) + 0.4, PANEL_HEIGHT * len(inits) + 0.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(inits), len(names), sharey=True, squeeze=False)
    for (i, init), (j, name) in itertools.product(enumerate(inits), enumerate(names)):
        dress(panels[i][j], title=f"{name}, {init} init", x_label="epoch")
        _draw_panel(panels[i][j], groups.get((name, init), ()), curves)
    for axes in panels[:, 0]:
        axes.set_ylabel("accuracy: validation, training dashed", fontsize=9)
    return figure


def _draw_panel(axes: Axes, rows: Sequence[TrialRow], curves: Mapping[str, Curves]) -> None:
    for row, color in zip(rows, itertools.cycle(COLORS), strict=False):
        size = f"{row.metrics.get(SIZE, 0) / 1000:.0f}k"
        for curve, line in (("val_accuracy", "-"), ("train_accuracy", "--")):
            points = curves.get(row.key, {}).get(curve, ())
            label = size if line == "-" else None
            axes.plot([x for x, _ in points], [y for _, y in points], line, color=color, label=label, linewidth=1.4)
    if rows:
        axes.legend(frameon=False, fontsize=8.5)


def size_files(ledger: Ledger, rows: Sequence[TrialRow]) -> dict[str, bytes]:
    """Return name -> content of the picture of sizes; none where no classifier has several."""
    groups = sized(rows)
    if not groups:
        return {}
    trials = [row for group in groups.values() for row in group]
    figure = draw_sizes(groups, {row.key: ledger.trials.curves(row.study, row.phase, key=row.key) for row in trials})
    return {"classifier_sizes.png": encode(figure, "png"), "classifier_sizes.svg": encode(figure, "svg")}
