"""Features that classifiers learned for held-out fields, laid out by t-SNE and colored by class."""

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

from nefstudy.insight.questions.classifiers import field_title
from nefstudy.insight.trials import is_number
from nefstudy.ledger.sql.rows import TrialRow
from nefstudy.report.figures import FAINT, PANEL_HEIGHT, PANEL_WIDTH, style_axes

# Tol's muted palette and black: ten classes that are distinguishable with every common color vision deficiency.
CLASS_COLORS = (
    "#332288", "#88ccee", "#44aa99", "#117733", "#999933", "#ddcc77", "#cc6677", "#882255", "#aa4499", "#222222",
)  # fmt: skip
COLUMNS = 3
MIN_FIELDS = 10  # with fewer fields there are no neighborhoods to lay out
TINY = 1e-9
PERPLEXITY = 30.0  # van der Maaten & Hinton 2008: between 5 and 50


@dataclass(frozen=True, eq=False)
class Learned:
    """Features of the test fields, or of the validation fields of a trial without test signals, by its classifier."""

    row: TrialRow
    features: Float[np.ndarray, "N E"]
    labels: Int[np.ndarray, " N"]


def load_learned(row: TrialRow, content: bytes) -> Learned | None:
    """Return a trial's features from `embedding.safetensors`, or None if the features are damaged or not finite."""
    try:
        tensors = load(content)
        learned = Learned(row, tensors["features"], tensors["labels"])
    except (SafetensorError, KeyError):
        return None
    return learned if np.isfinite(learned.features).all() else None


def plane(features: Float[np.ndarray, "N E"]) -> Float[np.ndarray, "N 2"]:
    """Return a reproducible t-SNE layout of the features, which keeps neighbors together."""
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # has no stubs

    centered = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    spread = centered.std()
    if spread < TINY:
        return np.zeros((len(features), 2))  # scikit-learn would divide by zero and crash
    perplexity = min(PERPLEXITY, (len(features) - 1) / 3)
    with threadpool_limits(1):
        layout = TSNE(2, perplexity=perplexity, init="pca", random_state=0)
        return np.asarray(layout.fit_transform((centered / spread).astype(np.float32)))


def draw_learned(trials: Sequence[Learned]) -> Figure:
    """Draw one panel per trial, with its fields colored by class."""
    columns = min(COLUMNS, len(trials))
    size = (PANEL_WIDTH * columns + 0.4, PANEL_HEIGHT * ceil(len(trials) / columns) + 0.5)
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(ceil(len(trials) / columns), columns, squeeze=False).ravel()
    for axes in panels[len(trials) :]:
        axes.set_axis_off()
    for axes, learned in zip(panels, trials, strict=False):
        _draw_panel(axes, learned)
    return figure


def _draw_panel(axes: Axes, learned: Learned) -> None:
    row = learned.row
    signals, field, init = (str(row.parameters.get(name, "")) for name in ("signals", "field", "init"))
    style_axes(axes, title=f"{signals}, {field_title(field)}, {init}", x_label=_subtitle(row))
    points = plane(learned.features)
    for label in np.unique(learned.labels):
        x, y = points[learned.labels == label].T
        color = CLASS_COLORS[label % len(CLASS_COLORS)]
        axes.scatter(x, y, s=7, color=color, alpha=0.55, linewidths=0)
        axes.annotate(
            str(label), (float(np.median(x)), float(np.median(y))), color=color, fontsize=11, fontweight="bold",
            ha="center", va="center",
        )  # fmt: skip
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.xaxis.label.set_color(FAINT)


def _subtitle(row: TrialRow) -> str:
    parameters, metrics = row.parameters, row.metrics
    parts = [f"{parameters.get('classifier', '')}, {parameters.get('steps', '')} steps"]
    split, word = ("test", "test") if is_number(metrics.get("test_accuracy")) else ("val", "validation")
    if is_number(metrics.get(f"{split}_accuracy")):
        parts.append(f"{word} {metrics[f'{split}_accuracy']:.3f}")
    parts += [
        f"{name.upper()} {metrics[f'{split}_embedding_{name}']:.2f}"
        for name in ("nmi", "ami")
        if f"{split}_embedding_{name}" in metrics
    ]
    return ", ".join(parts)
