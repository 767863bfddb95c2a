"""What classifiers learned: features of test fields laid out in the plane by t-SNE, coloured by class."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from safetensors import SafetensorError
from safetensors.numpy import load

from nefstudy.insight.classifiers import field_title
from nefstudy.insight.trials import is_number
from nefstudy.ledger.rows import TrialRow
from nefstudy.report.figures import FAINT, PANEL_HEIGHT, PANEL_WIDTH, dress

# Tol's muted palette and black: ten classes that are distinct under every common color vision.
CLASS_COLOURS = (
    "#332288", "#88ccee", "#44aa99", "#117733", "#999933", "#ddcc77", "#cc6677", "#882255", "#aa4499", "#222222",
)  # fmt: skip
COLUMNS = 3
LEAST_DRAWN = 10  # fields; fewer have no neighbourhoods to lay out
TINY = 1e-9
PERPLEXITY = 30.0  # van der Maaten & Hinton 2008: between 5 and 50


@dataclass(frozen=True, eq=False)
class Learned:
    """Features that one trial's classifier gives to test fields."""

    row: TrialRow
    features: Float[np.ndarray, "N E"]
    labels: Int[np.ndarray, " N"]


def learned_by(row: TrialRow, content: bytes) -> Learned | None:
    """Return the features in a trial's `embedding.safetensors`; None where the file is not one, or not finite."""
    try:
        kept = load(content)
        found = Learned(row, kept["features"], kept["labels"])
    except (SafetensorError, KeyError):
        return None
    return found if np.isfinite(found.features).all() else None


def plane(features: Float[np.ndarray, "N E"]) -> Float[np.ndarray, "N 2"]:
    """Return a t-SNE of the features, which keeps neighbors together; the same features give the same picture."""
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # has no stubs

    centred = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    spread = centred.std()
    if spread < TINY:
        return np.zeros((len(features), 2))  # scikit-learn would divide by it, and then crash
    perplexity = min(PERPLEXITY, (len(features) - 1) / 3)
    with threadpool_limits(1):
        layout = TSNE(2, perplexity=perplexity, init="pca", random_state=0)
        return np.asarray(layout.fit_transform((centred / spread).astype(np.float32)))


def draw_learned(found: Sequence[Learned]) -> Figure:
    """Return a panel for each trial, its fields in the colors of their classes."""
    columns = min(COLUMNS, len(found))
    size = (PANEL_WIDTH * columns + 0.4, PANEL_HEIGHT * ceil(len(found) / columns) + 0.5)
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(ceil(len(found) / columns), columns, squeeze=False).ravel()
    for axes in panels[len(found) :]:
        axes.set_axis_off()
    for axes, one in zip(panels, found, strict=False):
        _draw_panel(axes, one)
    return figure


def _draw_panel(axes: Axes, one: Learned) -> None:
    row = one.row
    signals, field, init = (str(row.parameters.get(name, "")) for name in ("signals", "field", "init"))
    dress(axes, title=f"{signals}, {field_title(field)}, {init}", x_label=_about(row))
    points = plane(one.features)
    for label in np.unique(one.labels):
        x, y = points[one.labels == label].T
        colour = CLASS_COLOURS[label % len(CLASS_COLOURS)]
        axes.scatter(x, y, s=7, color=colour, alpha=0.55, linewidths=0)
        axes.annotate(
            str(label), (float(np.median(x)), float(np.median(y))), color=colour, fontsize=11, fontweight="bold",
            ha="center", va="center",
        )  # fmt: skip
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.xaxis.label.set_color(FAINT)


def _about(row: TrialRow) -> str:
    given, measured = row.parameters, row.metrics
    parts = [f"{given.get('classifier', '')}, {given.get('steps', '')} steps"]
    if is_number(measured.get("test_accuracy")):
        parts.append(f"test {measured['test_accuracy']:.3f}")
    if "test_embedding_nmi" in measured:
        parts.append(f"NMI {measured['test_embedding_nmi']:.2f}")
    return ", ".join(parts)
