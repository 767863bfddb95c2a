"""The best trials of each cell, selected by its objective; test metrics are only reported."""

from collections.abc import Sequence

from nefstudy.insight.declared import CellKey, Declarations, DeclaredMetric
from nefstudy.insight.questions.scatter import LABELS
from nefstudy.insight.table import Cell, Column, Table, TrialRef
from nefstudy.insight.trials import TrialColumns, is_number

COLUMNS = ("key", "phase", *LABELS)


def best_of_cells(trials: TrialColumns, declared: Declarations, *, limit: int = 1) -> TrialColumns:
    """Return the `limit` best trials per phase and cell; the smaller key wins ties."""
    chosen: list[tuple[tuple[object, ...], int]] = []
    for index, (phase, cell) in enumerate(zip(trials["phase"], trials["cell"], strict=True)):
        own = declared.of(phase, cell)
        score = trials[own.objective][index]
        if is_number(score):
            chosen.append(((*declared.order(phase, cell), -own.sign * score, trials["key"][index]), index))
    kept: list[int] = []
    counts: dict[CellKey, int] = {}
    for _, index in sorted(chosen):
        cell_key = trials["phase"][index], trials["cell"][index]
        counts[cell_key] = counts.get(cell_key, 0) + 1
        if counts[cell_key] <= limit:
            kept.append(index)
    return trials.at(kept)


def best(trials: TrialColumns, declared: Declarations, *, limit: int = 1) -> Table:
    """Return a table of the `limit` best trials of each phase and cell."""
    chosen = best_of_cells(trials, declared, limit=limit)
    metrics = _metrics(chosen, declared)
    labels = [name for name in LABELS if any(value is not None for value in chosen[name])]
    objectives = dict.fromkeys(
        declared.of(phase, cell).objective_metric.label
        for phase, cell in zip(chosen["phase"], chosen["cell"], strict=True)
    )
    caption = "No complete trial with a value of its objective yet."
    if len(chosen):
        at_most = "" if limit == 1 else f", at most {limit} of each phase and cell"
        cells = set(zip(chosen["phase"], chosen["cell"], strict=True))
        has_test = any(declared.of(*at).reported for at in cells)
        is_by_test = any(declared.of(*at).objective_metric.split == "test" for at in cells)
        test = "; test metrics are shown, but not used for selection" if has_test and not is_by_test else ""
        caption = f"Selected by {' or '.join(objectives)}{at_most}{test}."
    return Table(
        id="best",
        title="Best trials" if limit > 1 else "Best trial of each cell",
        caption=caption,
        columns=(
            Column("key", "trial", "trial"),
            Column("phase", "phase"),
            Column("cell", "cell"),
            *(Column(m.name, m.label, "number", m.unit, m.digits) for m in metrics),
            *(Column(name, LABELS[name], "count" if name in ("steps", "hidden") else "text") for name in labels[1:]),
        ),
        rows=tuple(_row(chosen, index, metrics=metrics, labels=labels) for index in range(len(chosen))),
        of=len(chosen),
    )


def _metrics(trials: TrialColumns, declared: Declarations) -> list[DeclaredMetric]:
    """Return the metrics to show: each cell's objective, reported and compared metric, then the headline quality."""
    scores: dict[str, DeclaredMetric] = {}
    quality: dict[str, DeclaredMetric] = {}
    for (phase, cell), group in trials.groups("phase", "cell"):
        own = declared.of(phase, cell)
        for metric in (own.objective_metric, own.reported, own.compared(group)):
            if metric is not None:
                scores.setdefault(metric.name, metric)
        headline = own.headline(group)
        if headline is not None:
            quality.setdefault(headline.name, headline)
    return list((scores | quality).values())


def _row(
    trials: TrialColumns, index: int, *, metrics: Sequence[DeclaredMetric], labels: Sequence[str]
) -> tuple[Cell, ...]:
    return (
        TrialRef(trials["key"][index], trials["phase"][index]),
        trials["phase"][index],
        trials["cell"][index],
        *(trials[metric.name][index] for metric in metrics),
        *(trials[name][index] for name in labels[1:]),
    )
