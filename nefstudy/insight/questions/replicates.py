"""Settings that were run with several seeds, as means with 95 % intervals."""

from collections import defaultdict
from collections.abc import Sequence

from nefstudy.insight.declared import CellKey, Declarations
from nefstudy.insight.questions.scatter import LABELS
from nefstudy.insight.table import Cell, Column, Table, TrialRef, mean_of
from nefstudy.insight.trials import TrialColumns, having, is_number, setting

COLUMNS = ("key", "phase", "cell", "seed", "init", "hidden", "steps", "classifier", "parameters")
SHOWN = 8  # settings per cell in displayed tables; data exports have all


def replicated(trials: TrialColumns, declared: Declarations) -> list[TrialColumns]:
    """Return the trials of each setting with two or more seeds, ordered by cell and mean objective."""
    keyed: list[tuple[tuple[object, ...], TrialColumns]] = []
    for (phase, cell), group in trials.groups("phase", "cell"):
        own = declared.of(phase, cell)
        complete = having(group, own.objective)
        by_setting: dict[object, list[int]] = defaultdict(list)
        for index, parameters in enumerate(complete["parameters"]):
            by_setting[setting(parameters or {})].append(index)
        for indices in by_setting.values():
            if len(indices) > 1:
                runs = complete.at(sorted(indices, key=lambda i: (complete["seed"][i], complete["key"][i])))
                mean = sum(runs[own.objective]) / len(runs)
                keyed.append(((*declared.order(phase, cell), -own.sign * mean, runs["key"][0]), runs))
    return [runs for _, runs in sorted(keyed, key=lambda each: each[0])]


def replicates(trials: TrialColumns, declared: Declarations, *, each: int | None = None) -> Table:
    """Return a table of the settings with several seeds, with the means of their metrics.

    Args:
        each: number of best settings to return per cell, None for all.
    """
    settings = replicated(trials, declared)
    names = list(dict.fromkeys(name for runs in settings for name in _metrics(runs, declared)))
    own = declared.of(None, None) if not settings else declared.of(settings[0]["phase"][0], settings[0]["cell"][0])
    labels = [name for name in LABELS if name != "cell" and any(has_value(runs, name) for runs in settings)]
    kept = _first(settings, each)
    return Table(
        id="replicates",
        title="Replicates",
        caption=_caption(len(settings), len(kept)),
        columns=(
            Column("key", "setting", "trial"),
            Column("cell", "cell"),
            Column("phase", "phase"),
            *(Column(name, LABELS[name], "count" if name in ("steps", "hidden") else "text") for name in labels),
            *(Column(m.name, m.label, "mean", m.unit, m.digits) for m in map(own.metric, names)),
            Column("n", "n", "count"),
            Column("keys", "keys", detail=True),
        ),
        rows=tuple(_row(runs, names=names, labels=labels) for runs in kept),
        of=sum(map(len, settings)),
    )


def has_value(runs: TrialColumns, name: str) -> bool:
    """Return whether a column has a value for any of the given trials."""
    return any(value is not None for value in runs[name])


def _metrics(runs: TrialColumns, declared: Declarations) -> list[str]:
    own = declared.of(runs["phase"][0], runs["cell"][0])
    metrics = (own.objective_metric, own.reported, own.compared(runs), own.headline(runs))
    return list(dict.fromkeys(metric.name for metric in metrics if metric is not None))


def _row(runs: TrialColumns, *, names: Sequence[str], labels: Sequence[str]) -> tuple[Cell, ...]:
    values = [[value for value in runs[name] if is_number(value)] for name in names]
    return (
        TrialRef(runs["key"][0], runs["phase"][0]),
        runs["cell"][0],
        runs["phase"][0],
        *(runs[name][0] for name in labels),
        *(mean_of(numbers) if numbers else None for numbers in values),
        len(runs),
        " ".join(runs["key"]),
    )


def _first(settings: Sequence[TrialColumns], each: int | None) -> list[TrialColumns]:
    """Return the first `each` settings of each phase and cell."""
    counts: dict[CellKey, int] = {}
    kept = []
    for runs in settings:
        cell_key = runs["phase"][0], runs["cell"][0]
        counts[cell_key] = counts.get(cell_key, 0) + 1
        if each is None or counts[cell_key] <= each:
            kept.append(runs)
    return kept


def _caption(settings: int, shown: int) -> str:
    if not settings:
        return "No setting has been run with more than one seed."
    some = "" if shown == settings else f"; the best {shown:,} of {settings:,} settings"
    return (
        "Mean ± half the width of its 95 % confidence interval (Student's t, n - 1 degrees of freedom) over n seeds of "
        f"a setting{some}."
    )
