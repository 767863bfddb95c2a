"""Training curves by classifier size, drawn with matplotlib in panels by classifier and initialization."""

import itertools
from collections import defaultdict

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Drawn

from nefstudy.insight.figure import Figure, Mark
from nefstudy.insight.questions.classifiers import field_order, field_title
from nefstudy.insight.questions.initialization import init_order
from nefstudy.report.figures import PANEL_HEIGHT, PANEL_WIDTH, encode, style_axes

PanelKey = tuple[str, str, str]
"""Classifier, field and initialization."""

COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7")  # Okabe and Ito's palette
STYLES = {"validation": "-", "training": "--"}


def draw_sizes(figure: Figure) -> Drawn:
    """Draw accuracy per epoch for each size, with a solid line for validation and a dashed line for training.

    Each row of panels is an initialization; each column is a classifier on a field.
    """
    panels = _lines(figure)
    inits = sorted({init for *_, init in panels}, key=init_order)
    columns = sorted({(name, field) for name, field, _ in panels}, key=lambda at: (at[0], field_order(at[1])))
    several = len({field for _, field in columns}) > 1
    drawn = Drawn(figsize=(PANEL_WIDTH * len(columns) + 0.4, PANEL_HEIGHT * len(inits) + 0.4), layout="constrained")
    FigureCanvasAgg(drawn)
    grid = drawn.subplots(len(inits), len(columns), sharey=True, squeeze=False)
    for (i, init), (j, (name, field)) in itertools.product(enumerate(inits), enumerate(columns)):
        place = f" on {field_title(field)}" if several else ""
        style_axes(grid[i][j], title=f"{name}{place}, {init} init", x_label=figure.x.title)
        _draw_panel(grid[i][j], panels.get((name, field, init), []))
    for axes in grid[:, 0]:
        axes.set_ylabel(f"{figure.y.title} (validation; training dashed)", fontsize=9)
    return drawn


def _lines(figure: Figure) -> dict[PanelKey, list[Mark]]:
    """Return the lines of each panel, in the order in which the figure lists them."""
    panels: dict[PanelKey, list[Mark]] = defaultdict(list)
    mark = figure.of_kind("line")
    if mark is None:
        return panels
    lines: dict[object, list[int]] = defaultdict(list)
    for index, z in enumerate(mark.columns["z"]):
        lines[z].append(index)
    for line in lines.values():
        columns = {name: [values[index] for index in line] for name, values in mark.columns.items()}
        name, field, init = (str(columns[word][0] or "") for word in ("classifier", "field", "init"))
        panels[name, field, init].append(Mark("line", columns))
    return panels


def _draw_panel(axes: Axes, lines: list[Mark]) -> None:
    colors: dict[float, str] = {}
    for line in lines:
        (size, *_), (split, *_) = line.columns["size"], line.columns["split"]
        color = colors.setdefault(size, COLORS[len(colors) % len(COLORS)])
        label = f"{size / 1000:.0f}k" if split == "validation" else None
        axes.plot(line.columns["x"], line.columns["y"], STYLES[split], color=color, label=label, linewidth=1.4)
    if lines:
        axes.legend(frameon=False, fontsize=8.5)


def size_files(figure: Figure) -> dict[str, bytes]:
    """Return the files of the classifier-size figure by name; none if no classifier has several sizes."""
    if figure.of_kind("line") is None:
        return {}
    drawn = draw_sizes(figure)
    return {"classifier_sizes.png": encode(drawn, "png"), "classifier_sizes.svg": encode(drawn, "svg")}
