"""The Pareto front of two metrics: the trials that no other trial beats in both."""

import math
from collections.abc import Sequence

from nefstudy.insight.declared import Declarations
from nefstudy.insight.questions.scatter import LABELS
from nefstudy.insight.table import Cell, Column, Table, TrialRef
from nefstudy.insight.trials import TrialColumns, having


def pareto(
    trials: TrialColumns, declared: Declarations, *, x: str, y: str, phase: str | None = None, cell: str | None = None
) -> Table:
    """Return the Pareto front in order of `x`; a metric without a direction is maximized."""
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
    better = [f"{'lower' if sign < 0 else 'higher'} {m.label}" for sign, m in zip(signs, metrics, strict=True)]
    return Table(
        id="pareto",
        title=f"Pareto front: {metrics[1].label} and {metrics[0].label}",
        caption=f"{len(front):,} of {len(shown):,} trials: no other trial has both {' and '.join(better)}.",
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
    """Return the indices of the points on the front in order of x; only the first of several equal points counts."""
    front: list[int] = []
    highest = -math.inf
    for index in sorted(range(len(x)), key=lambda i: (-x[i], -y[i], i)):
        if y[index] > highest:
            highest = y[index]
            front.append(index)
    return front[::-1]
