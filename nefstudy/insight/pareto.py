"""The trials that no other beats in two numbers at once."""

import math
from collections.abc import Sequence

from nefstudy.insight.declared import Declarations
from nefstudy.insight.scatter import LABELS
from nefstudy.insight.table import Cell, Column, Table, TrialRef
from nefstudy.insight.trials import Trials, having


def pareto(
    trials: Trials, declared: Declarations, *, x: str, y: str, phase: str | None = None, cell: str | None = None
) -> Table:
    """Return the Pareto front by rising `x`, each metric in its own direction; undirected ones count as maximized."""
    own = declared.of(phase, cell)
    shown = having(trials, x, y)
    metrics = [own.metric(x), own.metric(y)]
    signs = [-1 if metric.direction == "minimize" else 1 for metric in metrics]
    front = pareto_front([signs[0] * value for value in shown[x]], [signs[1] * value for value in shown[y]])
    names = [name for name in LABELS if any(value is not None for value in shown[name])]
    rows: list[tuple[Cell, ...]] = [
        (TrialRef(shown["key"][i], shown["phase"][i]), *(shown[name][i] for name in ("phase", x, y, *names)))
        for i in sorted(front, key=lambda i: (shown[x][i], i))
    ]
    words = [f"{'lower' if sign < 0 else 'higher'} {m.label}" for sign, m in zip(signs, metrics, strict=True)]
    return Table(
        id="pareto",
        title=f"Pareto front: {metrics[1].label} and {metrics[0].label}",
        caption=f"{len(front):,} of {len(shown):,} trials: no other has both {' and '.join(words)}.",
        columns=(
            Column("key", "trial", "trial"),
            Column("phase", "phase"),
            *(Column(m.name, m.label, "number", m.unit, m.digits) for m in metrics),
            *(Column(name, LABELS[name], "count" if name in ("steps", "hidden") else "text") for name in names),
        ),
        rows=tuple(rows),
        of=len(shown),
    )


def pareto_front(x: Sequence[float], y: Sequence[float]) -> list[int]:
    """Return the indices of the points that no other point beats, by rising x; of equal points the first."""
    front: list[int] = []
    highest = -math.inf
    for index in sorted(range(len(x)), key=lambda i: (-x[i], -y[i], i)):
        if y[index] > highest:
            highest = y[index]
            front.append(index)
    return front[::-1]
