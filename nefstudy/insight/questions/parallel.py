"""The most important parameters of many trials, for a parallel-coordinates plot."""

from nefstudy.insight.declared import Declarations
from nefstudy.insight.figure import downsample
from nefstudy.insight.questions.importance import TOP, importance, importance_columns
from nefstudy.insight.table import Cell, Column, Table, TrialRef, counted
from nefstudy.insight.trials import TrialColumns, having

MAX_AXES = 7
MIN_SHARE = 0.005
MAX_TRIALS = 300


def parallel_columns(declared: Declarations, *, phase: str | None, cell: str | None) -> list[str]:
    """Return the columns that `parallel` needs."""
    own = declared.of(phase, cell)
    return list(dict.fromkeys(("key", *importance_columns(declared, phase=phase, cell=cell), own.shown.name)))


def parallel(
    trials: TrialColumns,
    declared: Declarations,
    *,
    phase: str | None = None,
    cell: str | None = None,
    limit: int = MAX_TRIALS,
) -> Table:
    """Return the most important parameters and the objective of at most `limit` trials, best first.

    If there are more, they are downsampled evenly over the plane of objective and reported metric.
    """
    own = declared.of(phase, cell)
    ranked = importance(trials, declared, phase=phase, cell=cell)
    first = ranked.rows[0][:2] if ranked.rows else ()
    names = [
        str(name) for phase_name, cell_name, name, share, _ in ranked.rows
        if (phase_name, cell_name) == first and isinstance(share, float) and share >= MIN_SHARE
    ][:MAX_AXES]  # fmt: skip
    shown = having(trials, own.objective, own.shown.name)
    kept = shown.at(downsample(shown[own.objective], shown[own.shown.name], limit=limit))
    order = sorted(range(len(kept)), key=lambda i: (-own.sign * kept[own.objective][i], kept["key"][i]))
    metrics = list({metric.name: metric for metric in (own.objective_metric, own.shown)}.values())
    best = max(2, round(TOP * len(kept)))
    rows: list[tuple[Cell, ...]] = [
        (
            TrialRef(kept["key"][i], kept["phase"][i]),
            kept["phase"][i],
            kept["cell"][i],
            *(kept[name][i] for name in names),
            *(kept[metric.name][i] for metric in metrics),
            int(rank < best),
        )
        for rank, i in enumerate(order)
    ]
    return Table(
        id="parallel",
        title="Parameters of the best trials",
        caption=f"{len(kept):,} of {counted(len(shown), 'trial')}; the best 10 % by {own.objective_metric.label} are "
        "highlighted. The most important parameter comes first." if names else "No parameter stands out yet.",
        columns=(
            Column("key", "trial", "trial"),
            Column("phase", "phase"),
            Column("cell", "cell"),
            *(Column(name, name, "number") for name in names),
            *(
                Column(m.name, m.label, "number", m.unit, m.digits, detail=m.name != own.objective) for m in metrics
            ),
            Column("best", "best 10 %", detail=True),
        ),
        rows=tuple(rows) if names else (),
        of=len(shown),
    )  # fmt: skip
