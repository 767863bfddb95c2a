"""The best trials of each cell: the objective picks, its test counterpart is only reported."""

from collections.abc import Sequence

from nefstudy.insight.declared import Declarations, Metric
from nefstudy.insight.scatter import LABELS
from nefstudy.insight.table import Cell, Column, Table, TrialRef
from nefstudy.insight.trials import Trials, is_number

COLUMNS = ("key", "phase", *LABELS)


def best_of_cells(trials: Trials, declared: Declarations, *, limit: int = 1) -> Trials:
    """Return the best trials of each phase and cell in the cell's direction; ties go to the smaller key."""
    chosen: list[tuple[tuple[object, ...], int]] = []
    for index, (phase, cell) in enumerate(zip(trials["phase"], trials["cell"], strict=True)):
        own = declared.of(phase, cell)
        score = trials[own.objective][index]
        if is_number(score):
            chosen.append(((*declared.order(phase, cell), -own.sign * score, trials["key"][index]), index))
    kept: list[int] = []
    seen: dict[tuple[str, str], int] = {}
    for _, index in sorted(chosen):
        place = trials["phase"][index], trials["cell"][index]
        seen[place] = seen.get(place, 0) + 1
        if seen[place] <= limit:
            kept.append(index)
    return trials.at(kept)


def best(trials: Trials, declared: Declarations, *, limit: int = 1) -> Table:
    """Return the best `limit` trials of each phase and cell, with objective, reported metric and quality."""
    found = best_of_cells(trials, declared, limit=limit)
    metrics = _metrics(found, declared)
    labels = [name for name in LABELS if any(value is not None for value in found[name])]
    pickers = dict.fromkeys(
        declared.of(phase, cell).objective_metric.label
        for phase, cell in zip(found["phase"], found["cell"], strict=True)
    )
    words = "No complete trial yet."
    if len(found):
        most = "" if limit == 1 else f", at most {limit} of each phase and cell"
        words = f"Picked by {' or '.join(pickers)}{most}; test metrics are only reported."
    return Table(
        id="best",
        title="Best trials" if limit > 1 else "Best trial of each cell",
        caption=words,
        columns=(
            Column("key", "trial", "trial"),
            Column("phase", "phase"),
            Column("cell", "cell"),
            *(Column(m.name, m.label, "number", m.unit, m.digits) for m in metrics),
            *(Column(name, LABELS[name], "count" if name in ("steps", "hidden") else "text") for name in labels[1:]),
        ),
        rows=tuple(_row(found, index, metrics=metrics, labels=labels) for index in range(len(found))),
        of=len(found),
    )


def _metrics(found: Trials, declared: Declarations) -> list[Metric]:
    """Return the metrics that are shown: what picks and what is reported for each cell, then the headline qualities."""
    chosen: dict[str, Metric] = {}
    quality: dict[str, Metric] = {}
    for (phase, cell), group in found.groups("phase", "cell"):
        own = declared.of(phase, cell)
        for metric in (own.objective_metric, own.reported):
            if metric is not None:
                chosen.setdefault(metric.name, metric)
        headline = own.headline(group)
        if headline is not None:
            quality.setdefault(headline.name, headline)
    return list((chosen | quality).values())


def _row(found: Trials, index: int, *, metrics: Sequence[Metric], labels: Sequence[str]) -> tuple[Cell, ...]:
    return (
        TrialRef(found["key"][index], found["phase"][index]),
        found["phase"][index],
        found["cell"][index],
        *(found[metric.name][index] for metric in metrics),
        *(found[name][index] for name in labels[1:]),
    )
