"""Trials in a plane of two of their numbers: accuracy against quality, structure or smoothness."""

from collections.abc import Sequence

from nefstudy.insight.correlation import correlation
from nefstudy.insight.declared import Declarations, Declared, Metric
from nefstudy.insight.figure import Axis, Figure, Mark, downsample
from nefstudy.insight.ladders import LEAST_RUNGS, OWN, Ladder, climb_words, ladders
from nefstudy.insight.table import capital
from nefstudy.insight.trials import Trials, having

MOST_LADDERS = 150  # more would hide what they show
LABELS = {"cell": "cell", "init": "init", "steps": "steps", "hidden": "hidden", "classifier": "classifier"}
TOLD = ("key", "phase", *LABELS, "signals", "field")
CONSTANT_LEFT_OUT = frozenset({"steps", "hidden", "classifier"})  # where all trials have the same
EXPLAINED = {
    "all_nmi": "k-means on the flat weights, compared with the labels",
    "all_off_grid_ratio": "PSNR at cell centers, against the bilinear image, over PSNR on the grid",
}


def scatter_columns(declared: Declarations, *, phase: str | None, cell: str | None, x: str, y: str) -> list[str]:
    """Return the columns that `scatter` needs."""
    own = declared.of(phase, cell)
    free = free_names(declared, phase=phase, cell=cell)
    return list(dict.fromkeys((*TOLD, *OWN, x, y, own.objective, *free)))


def free_names(declared: Declarations, *, phase: str | None, cell: str | None) -> list[str]:
    """Return the parameters that the plan leaves free in the chosen cells, in the order of the plan."""
    chosen = (d for d in declared.cells.values() if phase in (None, d.phase) and cell in (None, d.cell))
    return list(dict.fromkeys(name for d in chosen for name in d.space))


def scatter(
    trials: Trials,
    declared: Declarations,
    *,
    id: str,
    x: str,
    y: str,
    joined: bool = False,
    phase: str | None = None,
    cell: str | None = None,
    limit: int = 5_000,
) -> Figure:
    """Return the trials that have both numbers as dots; with `joined`, the rungs of each ladder as a line.

    Args:
        limit: dots above which they are downsampled evenly over the plane; the caption rests on all of them.
    """
    own = declared.of(phase, cell)
    shown = having(trials, x, y)
    x_metric, y_metric = own.metric(x), own.metric(y)
    found = ladders(shown, y=y, by=free_names(declared, phase=phase, cell=cell)) if joined else []
    kept = downsample(shown[x], shown[y], limit=limit)
    told = [name for name in TOLD if name not in CONSTANT_LEFT_OUT or len(set(shown[name])) > 1]
    dots = {name: [shown[name][i] for i in kept] for name in told}
    dots |= {"x": [shown[x][i] for i in kept], "y": [shown[y][i] for i in kept]}
    sign = -1 if y_metric.direction == "minimize" else 1
    return Figure(
        id=id,
        title=f"{capital(y_metric.label)} against {x_metric.label}",
        caption=_caption(shown, own, x=x_metric, y=y_metric, found=found, joined=joined, shown=len(kept)),
        x=_x_axis(x_metric),
        y=y_metric.axis(),
        marks=(
            *(_joined(shown, found, x=x, sign=sign) if 0 < len(found) <= MOST_LADDERS else ()),
            Mark("dot", dots),
            *_chance(y_metric),
        ),
        color="init",
        symbol="signals",
        facet="field",
        of=len(shown),
        names={name: label for name, label in LABELS.items() if name in told},
    )


def _x_axis(metric: Metric) -> Axis:
    if metric.name == "steps":
        return Axis("fitting steps", scale="log")
    return Axis(metric.label, metric.unit)  # not its whole domain: differences in x are what a scatter shows


def _joined(trials: Trials, found: Sequence[Ladder], *, x: str, sign: int) -> tuple[Mark, ...]:
    along = [(index, number) for number, ladder in enumerate(found) for index in ladder.rungs]
    peaks = [ladder.rungs[ladder.peak(sign)] for ladder in found if len(ladder.rungs) >= LEAST_RUNGS]
    lines = {name: [trials[name][index] for index, _ in along] for name in ("init", "field", "hidden")}
    rings = {name: [trials[name][index] for index in peaks] for name in ("init", "field")}
    y_by_index = {index: y for ladder in found for index, y in zip(ladder.rungs, ladder.y, strict=True)}
    return (
        Mark(
            "line",
            lines
            | {
                "x": [trials[x][index] for index, _ in along],
                "y": [y_by_index[index] for index, _ in along],
                "z": [number for _, number in along],
            },
        ),
        Mark("ring", rings | {"x": [trials[x][i] for i in peaks], "y": [y_by_index[i] for i in peaks]}),
    )


def _chance(metric: Metric) -> tuple[Mark, ...]:
    return () if metric.chance is None else (Mark("rule", {"y": [metric.chance]}, label="chance"),)


def _caption(
    trials: Trials, own: Declared, *, x: Metric, y: Metric, found: Sequence[Ladder], joined: bool, shown: int
) -> str:
    if not len(trials):
        return "No complete trial has both numbers yet."
    words = [f"{len(trials):,} complete trials" + ("." if shown == len(trials) else f", {shown:,} shown.")]
    if joined:
        sign = -1 if y.direction == "minimize" else 1
        if 0 < len(found) <= MOST_LADDERS:
            ringed = any(len(ladder.rungs) >= LEAST_RUNGS for ladder in found)
            words.append(
                "Rungs of one ladder are joined" + ("; the best of three or more is ringed." if ringed else ".")
            )
        words.append(climb_words(trials, found, y_label=y.label, score=own.objective, sign=sign, digits=y.digits))
    else:
        if x.name in EXPLAINED:
            words.append(f"{capital(x.label)}: {EXPLAINED[x.name]}.")
        words.append(_rank_words(trials, x=x.name, y=y.name))
    return " ".join(filter(None, words))


def _rank_words(trials: Trials, *, x: str, y: str) -> str:
    """Return the rank correlation for each initialization."""
    parts = []
    for (init,), group in trials.groups("init"):
        found = correlation(group[x], group[y])
        if found is not None:
            parts.append(f"{init} {found}" if init is not None else str(found))
    return f"Rank correlation: {'; '.join(sorted(parts))}." if parts else ""
