"""Settings that ran with several seeds: their means with 95 % intervals."""

from collections import defaultdict
from collections.abc import Sequence

from nefstudy.insight.declared import Declarations
from nefstudy.insight.scatter import LABELS
from nefstudy.insight.table import Cell, Column, Table, TrialRef, mean_of
from nefstudy.insight.trials import Trials, having, is_number, setting

COLUMNS = ("key", "phase", "cell", "seed", "init", "hidden", "steps", "classifier", "parameters")
SHOWN = 8  # settings of each cell that people read; data have all


def replicated(trials: Trials, declared: Declarations) -> list[Trials]:
    """Return the trials of each setting with two or more seeds, by cell, best mean objective first."""
    found: list[tuple[tuple[object, ...], Trials]] = []
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
                found.append(((*declared.order(phase, cell), -own.sign * mean, runs["key"][0]), runs))
    return [runs for _, runs in sorted(found, key=lambda each: each[0])]


def replicates(trials: Trials, declared: Declarations, *, each: int | None = None) -> Table:
    """Return the settings that ran with several seeds, with means of objective, reported metric and quality.

    Args:
        each: settings of each cell to return, the best; None for all.
    """
    found = replicated(trials, declared)
    names = list(dict.fromkeys(name for runs in found for name in _metrics(runs, declared)))
    own = declared.of(None, None) if not found else declared.of(found[0]["phase"][0], found[0]["cell"][0])
    labels = [name for name in LABELS if name != "cell" and any(is_told(runs, name) for runs in found)]
    kept = _first(found, each)
    return Table(
        id="replicates",
        title="Replicates",
        caption=_words(len(found), len(kept)),
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
        of=sum(map(len, found)),
    )


def is_told(runs: Trials, name: str) -> bool:
    """Return whether a column has a value for these trials."""
    return any(value is not None for value in runs[name])


def _metrics(runs: Trials, declared: Declarations) -> list[str]:
    own = declared.of(runs["phase"][0], runs["cell"][0])
    metrics = (own.objective_metric, own.reported, own.headline(runs))
    return [metric.name for metric in metrics if metric is not None]


def _row(runs: Trials, *, names: Sequence[str], labels: Sequence[str]) -> tuple[Cell, ...]:
    values = [[value for value in runs[name] if is_number(value)] for name in names]
    return (
        TrialRef(runs["key"][0], runs["phase"][0]),
        runs["cell"][0],
        runs["phase"][0],
        *(runs[name][0] for name in labels),
        *(mean_of(found) if found else None for found in values),
        len(runs),
        " ".join(runs["key"]),
    )


def _first(found: Sequence[Trials], each: int | None) -> list[Trials]:
    seen: dict[tuple[str, str], int] = {}
    kept = []
    for runs in found:
        place = runs["phase"][0], runs["cell"][0]
        seen[place] = seen.get(place, 0) + 1
        if each is None or seen[place] <= each:
            kept.append(runs)
    return kept


def _words(settings: int, shown: int) -> str:
    if not settings:
        return "No setting ran with several seeds."
    some = "" if shown == settings else f"; the best {shown:,} of {settings:,} settings"
    return f"Mean ± half of the 95 % interval (Student's t, n - 1 degrees of freedom) over n seeds of a setting{some}."
