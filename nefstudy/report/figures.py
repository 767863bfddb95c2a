"""Three pictures of a study, one panel a field: accuracy against quality, structure and smoothness.

They follow Papa et al. 2024 suppl., Figs. 2-4. Colour and fill tell the start, shape the signals; both survive
colour blindness and a grey printer. Nothing here touches pyplot: a figure is a value, drawn off screen.
"""

import io
import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import MaxNLocator
from scipy.stats import spearmanr

from nefstudy.ledger.rows import TrialRow
from nefstudy.report.tables import field_order, field_title, finished, start_order

# Okabe and Ito's palette: told apart under every common colour vision.
INK, FAINT, GRID = "#22262b", "#6b737c", "#e4e7ea"
START_COLOURS = {"random": "#d55e00", "shared": "#0072b2", "learned": "#009e73"}
MARKERS = "osD^vPX"
RASTER_FROM = 2_000  # points in a panel from which an SVG embeds them as one picture
MOST_NAMES = 24  # ladders in a panel up to which each line is named; more names would hide the points
POINT, RING = 30, 110  # marker areas in square points
PANEL_WIDTH, PANEL_HEIGHT = 3.5, 3.1

Draw = Callable[[Axes, Sequence[TrialRow], dict[str, str]], None]


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure of the report: its title, what it shows in a sentence, and how one panel is drawn."""

    title: str
    caption: str
    x_label: str
    draw: Draw
    metric: str


def value(row: TrialRow, metric: str) -> float:
    """A metric of a trial, NaN where it has none; `quality` is PSNR in dB for images and IoU for shapes."""
    found = row.quality if metric == "quality" else row.metrics.get(metric)
    return math.nan if found is None else float(found)


def accuracy(row: TrialRow) -> float:
    """A trial's test accuracy, NaN where it has none."""
    return math.nan if row.test_accuracy is None else row.test_accuracy


def ladders(rows: Sequence[TrialRow]) -> list[list[TrialRow]]:
    """Trials that differ in nothing but step count, each group by rising steps: the rungs of one ladder."""
    groups: dict[str, list[TrialRow]] = defaultdict(list)
    for row in rows:
        asked = {name: given for name, given in row.config.items() if name != "steps"}
        groups[repr((row.dataset, sorted(asked.items())))].append(row)
    return [sorted(group, key=lambda row: row.steps) for group in groups.values()]


def draw_ladders(axes: Axes, rows: Sequence[TrialRow], markers: dict[str, str]) -> None:
    """Accuracy against reconstruction quality; rungs of one ladder joined, the most accurate one ringed."""
    scatter(axes, rows, metric="quality", markers=markers)
    joined = [ladder for ladder in ladders(rows) if len(ladder) > 1]
    lines = [[(value(row, "quality"), accuracy(row)) for row in ladder] for ladder in joined]
    colours = [start_colour(ladder[0].init) for ladder in joined]
    axes.add_collection(LineCollection(lines, colors=colours, linewidths=1.1, alpha=0.55, zorder=2))
    peaked = [index for index, line in enumerate(lines) if len(line) > 2]
    peaks = [max(lines[index], key=lambda point: point[1]) for index in peaked]
    rims = [colours[index] for index in peaked]
    axes.scatter(
        [x for x, _ in peaks], [y for _, y in peaks], s=RING, facecolors="none", edgecolors=rims, linewidths=1, zorder=4
    )
    for index in peaked if len(peaked) <= MOST_NAMES else []:
        if joined[index][0].hidden is not None:
            x, y = lines[index][-1]
            name_line(axes, x=x, y=y, text=f"h{joined[index][0].hidden}", colour=colours[index])


def name_line(axes: Axes, *, x: float, y: float, text: str, colour: str) -> None:
    """Write a line's name beside its last point."""
    axes.annotate(
        text,
        (x, y),
        xytext=(6, 0),
        textcoords="offset points",
        va="center",
        fontsize=7.5,
        color=colour,
        zorder=2.5,
        path_effects=[Stroke(linewidth=2.2, foreground="white"), Normal()],
    )


def draw_structure(axes: Axes, rows: Sequence[TrialRow], markers: dict[str, str]) -> None:
    """Accuracy against how well k-means on the weights finds the classes."""
    scatter(axes, rows, metric="all_nmi", markers=markers)


def draw_smoothness(axes: Axes, rows: Sequence[TrialRow], markers: dict[str, str]) -> None:
    """Accuracy against the off-grid over in-grid ratio, with the shared start's rank correlation."""
    scatter(axes, rows, metric="all_off_grid_ratio", markers=markers)
    shared = [row for row in rows if row.init == "shared"]
    rank = correlation([value(row, "all_off_grid_ratio") for row in shared], [accuracy(row) for row in shared])
    if rank is not None:
        text = f"shared: rank correlation {rank:+.2f}, n = {len(shared)}"
        axes.set_title(text, loc="right", fontsize=8, color=FAINT)


def correlation(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Spearman's rank correlation of the finite pairs; None under four pairs or where one side is constant."""
    pairs = [(a, b) for a, b in zip(x, y, strict=True) if math.isfinite(a) and math.isfinite(b)]
    if len(pairs) < 4 or any(len(set(side)) < 2 for side in zip(*pairs, strict=True)):
        return None
    return float(spearmanr([a for a, _ in pairs], [b for _, b in pairs]).statistic)


def scatter(axes: Axes, rows: Sequence[TrialRow], *, metric: str, markers: dict[str, str]) -> None:
    """Points of trials at (metric, test accuracy): colour and fill by start, shape by signals."""
    groups: dict[tuple[str, str], list[TrialRow]] = defaultdict(list)
    for row in rows:
        groups[row.init, row.signals].append(row)
    for (start, signals), group in groups.items():
        colour = start_colour(start)
        axes.scatter(
            [value(row, metric) for row in group],
            [accuracy(row) for row in group],
            s=POINT if len(rows) < 200 else POINT / 3,
            marker=markers[signals],
            facecolors=start_fill(start),
            edgecolors=colour,
            linewidths=1.1,
            alpha=0.95 if len(rows) < 200 else 0.35,
            zorder=3,
            rasterized=len(rows) >= RASTER_FROM,
        )


FIGURES: dict[str, Drawing] = {
    "accuracy_against_quality": Drawing(
        title="Test accuracy against reconstruction quality",
        caption="Rungs of one ladder are joined and its most accurate rung is ringed: quality first helps the "
        "classifier, then over-training hurts it.",
        x_label="{measure} over all signals",
        draw=draw_ladders,
        metric="quality",
    ),
    "accuracy_against_nmi": Drawing(
        title="Test accuracy against class structure of the weights",
        caption="Normalised mutual information between k-means clusters of the flat weights and the labels: a shared "
        "start leaves the classes visible in the weights themselves.",
        x_label="NMI of the weights, all signals",
        draw=draw_structure,
        metric="all_nmi",
    ),
    "accuracy_against_off_grid_ratio": Drawing(
        title="Test accuracy against behaviour between the pixels",
        caption="PSNR at cell centres (against the bilinear image) over PSNR on the grid: fields that stay smooth off "
        "the grid tend to be the ones that classify well.",
        x_label="off-grid / in-grid PSNR, all signals",
        draw=draw_smoothness,
        metric="all_off_grid_ratio",
    ),
}


def start_colour(start: str) -> str:
    """The colour of a start; grey for one the palette does not know."""
    return START_COLOURS.get(start, FAINT)


def start_fill(start: str) -> str:
    """The inside of a start's points: hollow for random, so that grey print tells them apart."""
    return "white" if start == "random" else start_colour(start)


def draw(name: str, rows: Sequence[TrialRow], *, drawings: dict[str, Drawing] = FIGURES) -> Figure:
    """The named figure of the finished trials among `rows`: a column a field, a row a kind of measure."""
    drawing = drawings[name]
    shown = [row for row in finished(rows) if math.isfinite(value(row, drawing.metric))]
    fields = sorted({row.field for row in shown}, key=field_order) or [""]
    measures = sorted({measure(row, drawing.metric) for row in shown}, reverse=True) or [""]
    signals = sorted({row.signals for row in shown})
    markers = {source: MARKERS[index % len(MARKERS)] for index, source in enumerate(signals)}
    size = (PANEL_WIDTH * max(len(fields), 1.5) + 0.4, PANEL_HEIGHT * len(measures) + 0.9)
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(measures), len(fields), sharex="row", sharey=True, squeeze=False)
    for (i, name_of_measure), (j, field) in itertools.product(enumerate(measures), enumerate(fields)):
        dress(panels[i][j], title=field_title(field), x_label=drawing.x_label.format(measure=name_of_measure))
        found = [row for row in shown if (measure(row, drawing.metric), row.field) == (name_of_measure, field)]
        drawing.draw(panels[i][j], found, markers)
    for axes in panels[:, 0]:
        axes.set_ylabel("test accuracy", fontsize=9, color=INK)
    source = f" · {signals[0]}" if len(signals) == 1 else ""
    figure.suptitle(drawing.title + source, x=0.01, ha="left", fontsize=12, fontweight="bold", color=INK)
    if shown:
        add_legend(figure, starts={row.init for row in shown}, markers=markers if len(markers) > 1 else {})
    else:
        say_empty(panels[0][0])
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # laid out once, so that every encoding shows the same picture
    return figure


def say_empty(axes: Axes) -> None:
    """Say in the middle of the panel that there is nothing to draw."""
    axes.set_axis_off()
    place = axes.transAxes
    axes.text(0.5, 0.5, "no finished trial to show yet", transform=place, ha="center", fontsize=10, color=FAINT)


def measure(row: TrialRow, metric: str) -> str:
    """What the horizontal axis of a trial is measured in: shapes are scored by IoU where images have PSNR."""
    if metric != "quality":
        return ""
    return "IoU" if "all_iou" in row.metrics and "all_psnr" not in row.metrics else "PSNR (dB)"


def dress(axes: Axes, *, title: str, x_label: str) -> None:
    """Quiet axes: a hairline grid behind the points, no box, few ticks."""
    axes.set_title(title, loc="left", fontsize=10.5, fontweight="bold", color=INK)
    axes.set_xlabel(x_label, fontsize=9, color=INK)
    axes.grid(visible=True, color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=8.5, labelcolor=FAINT)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.margins(x=0.12, y=0.1)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)


def add_legend(figure: Figure, *, starts: set[str], markers: dict[str, str]) -> None:
    """One legend for all panels, below them: a handle a start, and one a signal source where there are several."""
    handles = [
        Line2D([], [], linestyle="", marker="o", markersize=6, markeredgewidth=1.1, label=f"{start} start",
               markeredgecolor=start_colour(start), markerfacecolor=start_fill(start))
        for start in sorted(starts, key=start_order)
    ]  # fmt: skip
    handles += [
        Line2D([], [], linestyle="", marker=marker, markersize=6, label=source, color=FAINT)
        for source, marker in markers.items()
    ]
    figure.legend(
        handles=handles, loc="outside lower left", ncols=len(handles), frameon=False, fontsize=9, labelcolor=INK,
        handletextpad=0.2, columnspacing=1.4,
    )  # fmt: skip


def encode(figure: Figure, kind: str, *, dpi: int = 160) -> bytes:
    """The figure as `png` or `svg` bytes; the same figure gives the same bytes."""
    held = io.BytesIO()
    metadata = {"png": {"Software": None}, "svg": {"Date": None}}[kind]
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "nefstudy"}):
        figure.savefig(held, format=kind, dpi=dpi, metadata=metadata, facecolor="white")
    return held.getvalue()


def save(figure: Figure, path: Path) -> None:
    """Write the figure whole to `path`, in the format its suffix names."""
    beside = path.with_name(path.name + ".tmp")
    beside.write_bytes(encode(figure, path.suffix.lstrip(".")))
    beside.replace(path)
