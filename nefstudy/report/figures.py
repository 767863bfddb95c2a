"""Figures of `insight`, drawn with matplotlib, with one panel per facet value.

Color and fill encode the initialization, shape the signals; both are readable with color blindness and in grayscale.
pyplot is not used: a figure is a value, drawn off screen.
"""

import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure as Drawn
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import MaxNLocator

from nefstudy.insight.figure import Axis, Figure, Mark
from nefstudy.insight.questions.classifiers import field_order, field_title
from nefstudy.insight.questions.initialization import init_order

# Okabe and Ito's palette: distinguishable with every common color vision deficiency.
INK, FAINT, GRID = "#22262b", "#6b737c", "#e4e7ea"
INIT_COLORS = {"random": "#d55e00", "shared": "#0072b2"}
MARKERS = "osD^vPX"
RASTER_POINTS = 2_000  # with this many points, an SVG embeds them as one raster image
MAX_LABELS = 24  # maximum number of labeled ladders in a panel; more labels would hide the points
POINT, RING = 30, 110  # marker areas in square points
MANY = 200  # with this many points, they are drawn small and faint
PANEL_WIDTH, PANEL_HEIGHT = 3.5, 3.1
MARGIN = 0.03  # beyond a fixed domain, so that points on its edge are not cut off


def draw(figure: Figure) -> Drawn:
    """Draw a figure with one panel per value of its facet."""
    dots = figure.of_kind("dot")
    has_dots = dots is not None and len(dots) > 0
    facets = sorted({_word(value) for value in _column(dots, figure.facet)}, key=field_order) or [""]
    symbols = sorted({_word(value) for value in _column(dots, figure.symbol)})
    markers = {symbol: MARKERS[index % len(MARKERS)] for index, symbol in enumerate(symbols)}
    size = (PANEL_WIDTH * max(len(facets), 1.5) + 0.4, PANEL_HEIGHT + 0.9)
    drawn = Drawn(figsize=size, layout="constrained")
    FigureCanvasAgg(drawn)
    panels = drawn.subplots(1, len(facets), sharex=True, sharey=True, squeeze=False)[0]
    for axes, facet in zip(panels, facets, strict=True):
        style_axes(axes, title=field_title(facet), x_label=figure.x.title)
        _scale(axes, figure)
        for mark in figure.marks:
            _draw_mark(axes, _of_facet(mark, figure.facet, facet), figure=figure, markers=markers)
    panels[0].set_ylabel(figure.y.title, fontsize=9, color=INK)
    source = f" · {symbols[0]}" if len(symbols) == 1 and symbols[0] else ""
    drawn.suptitle(figure.title + source, x=0.01, ha="left", fontsize=12, fontweight="bold", color=INK)
    if has_dots:
        inits = {_word(value) for value in _column(dots, figure.color)} - {""}
        add_legend(drawn, inits=inits, markers=markers if len(markers) > 1 else {})
    else:
        mark_empty(panels[0])
    drawn.draw_without_rendering()
    drawn.set_layout_engine("none")  # laid out once, so that all encodings show the same layout
    return drawn


def _word(value: object) -> str:
    return "" if value is None else str(value)


def _column(mark: Mark | None, name: str | None) -> Sequence[Any]:
    return () if mark is None or name is None else mark.columns.get(name, ())


def _of_facet(mark: Mark, name: str | None, facet: str) -> Mark:
    """Return the marks of one panel; marks without a facet are in every panel."""
    if name is None or name not in mark.columns:
        return mark
    kept = [index for index, value in enumerate(mark.columns[name]) if _word(value) == facet]
    return Mark(mark.kind, {key: [values[i] for i in kept] for key, values in mark.columns.items()}, mark.label)


def _scale(axes: Axes, figure: Figure) -> None:
    sides: tuple[tuple[Axis, Any, Any], ...] = (
        (figure.x, axes.set_xscale, axes.set_xlim),
        (figure.y, axes.set_yscale, axes.set_ylim),
    )
    for axis, set_scale, set_limits in sides:
        if axis.scale == "log":
            set_scale("log")
        if axis.domain is not None:
            low, high = axis.domain
            set_limits(low - MARGIN * (high - low), high + MARGIN * (high - low))


def _draw_mark(axes: Axes, mark: Mark, *, figure: Figure, markers: Mapping[str, str]) -> None:
    columns = mark.columns
    if mark.kind == "rule":
        for y in columns["y"]:
            axes.axhline(y, color=FAINT, linewidth=0.9, linestyle=":", zorder=1)
            axes.annotate(mark.label, (1, y), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=7.5)
    elif mark.kind == "line":
        _draw_lines(axes, mark, color=figure.color)
    elif mark.kind == "ring":
        rims = [init_color(_word(init)) for init in columns[figure.color or ""]]
        axes.scatter(columns["x"], columns["y"], s=RING, facecolors="none", edgecolors=rims, linewidths=1, zorder=4)
    elif mark.kind == "interval":
        shades = [init_color(_word(init)) for init in columns[figure.color or ""]]
        axes.vlines(columns["x"], columns["y1"], columns["y2"], colors=shades, linewidth=0.9, zorder=4)
    elif mark.kind == "dot":
        _draw_dots(axes, mark, figure=figure, markers=markers)


def _draw_lines(axes: Axes, mark: Mark, *, color: str | None) -> None:
    lines: dict[object, list[int]] = defaultdict(list)
    for index, z in enumerate(mark.columns["z"]):
        lines[z].append(index)
    x, y = mark.columns["x"], mark.columns["y"]
    inits = mark.columns.get(color or "", [None] * len(x))
    colors = [init_color(_word(inits[line[0]])) for line in lines.values()]
    paths = [[(x[index], y[index]) for index in line] for line in lines.values()]
    axes.add_collection(LineCollection(paths, colors=colors, linewidths=1.1, alpha=0.55, zorder=2))
    labeled = [(line, shade) for line, shade in zip(lines.values(), colors, strict=True) if len(line) > 2]
    for line, shade in labeled if "hidden" in mark.columns and len(labeled) <= MAX_LABELS else []:
        hidden = mark.columns["hidden"][line[-1]]
        if hidden is not None:
            label_line(axes, x=x[line[-1]], y=y[line[-1]], text=f"h{hidden}", color=shade)


def label_line(axes: Axes, *, x: float, y: float, text: str, color: str) -> None:
    """Draw a line's label next to its last point."""
    axes.annotate(
        text,
        (x, y),
        xytext=(6, 0),
        textcoords="offset points",
        va="center",
        fontsize=7.5,
        color=color,
        zorder=2.5,
        path_effects=[Stroke(linewidth=2.2, foreground="white"), Normal()],
    )


def _draw_dots(axes: Axes, mark: Mark, *, figure: Figure, markers: Mapping[str, str]) -> None:
    """Draw points: color and fill by initialization, shape by signal source."""
    columns, n = mark.columns, len(mark)
    inits = columns.get(figure.color or "", [None] * n)
    symbols = columns.get(figure.symbol or "", [None] * n)
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index in range(n):
        groups[_word(inits[index]), _word(symbols[index])].append(index)
    few = figure.of < MANY
    for (init, symbol), group in groups.items():
        axes.scatter(
            [columns["x"][index] for index in group],
            [columns["y"][index] for index in group],
            s=POINT if few else POINT / 3,
            marker=markers.get(symbol, "o"),
            facecolors=init_fill(init),
            edgecolors=init_color(init),
            linewidths=1.1,
            alpha=0.95 if few else 0.35,
            zorder=3,
            rasterized=figure.of >= RASTER_POINTS,
        )


def init_color(init: str) -> str:
    """Return the color of an initialization, or gray if the palette lacks the initialization."""
    return INIT_COLORS.get(init, FAINT)


def init_fill(init: str) -> str:
    """Return the fill of an initialization's points: hollow for `random`, so that grayscale prints differ too."""
    return "white" if init == "random" else init_color(init)


def mark_empty(axes: Axes) -> None:
    """Write a note in the center of an empty panel that there are no finished trials yet."""
    axes.set_axis_off()
    coordinates = axes.transAxes
    axes.text(0.5, 0.5, "no finished trials yet", transform=coordinates, ha="center", fontsize=10, color=FAINT)


def style_axes(axes: Axes, *, title: str, x_label: str) -> None:
    """Apply a plain style to axes: a hairline grid behind the points, no box, few ticks."""
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


def add_legend(figure: Drawn, *, inits: set[str], markers: Mapping[str, str]) -> None:
    """Draw one legend below all panels, with an entry per initialization and per signal source in `markers`."""
    handles = [
        Line2D([], [], linestyle="", marker="o", markersize=6, markeredgewidth=1.1, label=init,
               markeredgecolor=init_color(init), markerfacecolor=init_fill(init))
        for init in sorted(inits, key=init_order)
    ]  # fmt: skip
    handles += [
        Line2D([], [], linestyle="", marker=marker, markersize=6, label=source, color=FAINT)
        for source, marker in markers.items()
    ]
    if handles:
        figure.legend(
            handles=handles, loc="outside lower left", ncols=len(handles), frameon=False, fontsize=9, labelcolor=INK,
            handletextpad=0.2, columnspacing=1.4,
        )  # fmt: skip


def encode(figure: Drawn, kind: str, *, dpi: int = 160) -> bytes:
    """Encode the figure as `png` or `svg`; the same figure always gives the same bytes."""
    buffer = io.BytesIO()
    metadata = {"png": {"Software": None}, "svg": {"Date": None}}[kind]
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "nefstudy"}):
        figure.savefig(buffer, format=kind, dpi=dpi, metadata=metadata, facecolor="white")
    return buffer.getvalue()


def save(figure: Drawn, path: Path) -> None:
    """Write the figure to `path` atomically, in the format given by its suffix."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(encode(figure, path.suffix.lstrip(".")))
    temporary.replace(path)
