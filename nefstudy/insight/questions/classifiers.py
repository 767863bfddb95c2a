"""A comparison of classifiers: the metric that compares settings, by field, initialization and hyperparameters."""

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence

from nefstudy.insight.declared import OVER_ALL, Declarations
from nefstudy.insight.questions.initialization import init_order
from nefstudy.insight.table import DASH, Column, Mean, Table, mean_of
from nefstudy.insight.trials import TrialColumns, having, is_number

COLUMNS = (
    "key", "phase", "cell", "seed", "steps", "field", "init", "classifier", "parameters", "classifier_parameters",
    "classify_seconds", "classify_cpu_seconds",
)  # fmt: skip
FIELD_TITLES = {"siren": "SIREN", "rffnet": "RFFNet", "mfn": "MFN"}

FieldInit = tuple[str, str]
"""Field and initialization."""


def field_title(field: str) -> str:
    """Return a field's name as in the literature; an unknown name is returned unchanged."""
    return FIELD_TITLES.get(field, field)


def field_order(field: str) -> tuple[int, str]:
    """Return the sort key of a field: SIREN, RFFNet, MFN, then all other fields by name."""
    known = list(FIELD_TITLES)
    return known.index(field) if field in known else len(known), field


def classifiers(trials: TrialColumns, declared: Declarations) -> Table:
    """Return a table with a row for each classifier and set of hyperparameters, sorted by name and size.

    For each field, initialization and seed, only the trial with the best objective counts, at any step count.
    Accuracies are over all fields, and those of the survivors are added if a field diverged.
    """
    groups: dict[tuple[tuple[str, object], ...], list[int]] = defaultdict(list)
    for index, parameters in enumerate(trials["parameters"]):
        of_classifier = sorted((n, v) for n, v in (parameters or {}).items() if n.startswith("classifier"))
        if of_classifier:
            groups[tuple(of_classifier)].append(index)
    own = declared.of(*((trials["phase"][0], trials["cell"][0]) if len(trials) else (None, None)))
    names = list(dict.fromkeys((own.compared(trials).name, own.shown.name)))
    rows = [row for group in groups.values() if (row := _row(trials.at(group), declared, names=names))]
    pairs = sorted(
        {pair for *_, scores in rows for pair in scores[0]}, key=lambda p: (field_order(p[0]), init_order(p[1]))
    )
    has_survivors = any(scores[0] != scores[-1] for *_, scores in rows)
    rows.sort(key=lambda row: row[:2])
    return Table(
        id="classifiers",
        title="Classifiers",
        caption=f"Mean {own.metric(names[0]).label} ± standard deviation over seeds, with the best trial by the "
        "objective for each seed. Seconds are for training and scoring, in CPU time where it was measured."
        + (f" {OVER_ALL}" if has_survivors else ""),
        columns=(
            Column("classifier", "classifier"),
            Column("parameters", "parameters"),
            Column("epochs", "epochs", "count"),
            *(Column(f"{f}.{i}", f"{field_title(f)} {i}", "mean", sure=False) for f, i in pairs),
            *(
                Column(f"survivors.{f}.{i}", f"{field_title(f)} {i}, survivors", "mean", sure=False)
                for f, i in pairs
                if has_survivors
            ),
            Column("seconds", "time per trial", "number", "s", digits=0),
        ),
        rows=tuple(
            (name, _sizes(sizes), epochs, *(m.get(p) for m in scores[: 1 + has_survivors] for p in pairs), seconds)
            for name, sizes, epochs, seconds, scores in rows
        ),
        of=len(trials),
    )


def _text(name: object) -> str:
    return DASH if name is None else str(name)


def _sizes(sizes: tuple[float, float]) -> str:
    return " to ".join(dict.fromkeys(f"{size / 1000:.0f}k" for size in sizes))


def _row(
    group: TrialColumns, declared: Declarations, *, names: Sequence[str]
) -> tuple[str, tuple[float, float], int | None, float, tuple[Mapping[FieldInit, Mean], ...]] | None:
    own = declared.of(group["phase"][0], group["cell"][0])
    shown = having(group, own.objective, *names)
    if not len(shown):
        return None
    best = best_rungs(shown, objective=own.objective, sign=own.sign)
    scores = tuple(_means(shown.at(best), name) for name in names)
    sizes = [size if is_number(size) else 0 for size in shown["classifier_parameters"]]
    epochs = (shown["parameters"][0] or {}).get("classifier.epochs")
    seconds = statistics.fmean(_seconds(shown))
    return str(shown["classifier"][0]), (min(sizes), max(sizes)), epochs, seconds, scores


def _means(trials: TrialColumns, name: str) -> Mapping[FieldInit, Mean]:
    """Return the mean of a metric for each field and initialization."""
    values: dict[FieldInit, list[float]] = defaultdict(list)
    for field, init, value in zip(trials["field"], trials["init"], trials[name], strict=True):
        values[_text(field), _text(init)].append(value)
    return {pair: mean_of(of_pair) for pair, of_pair in values.items()}


def best_rungs(trials: TrialColumns, *, objective: str, sign: int) -> list[int]:
    """Return the trial with the best objective for each field, initialization and seed; fewer steps win ties."""
    groups = list(zip(trials["field"], trials["init"], trials["seed"], strict=True))
    scores, steps, keys = trials[objective], trials["steps"], trials["key"]
    order = sorted(
        range(len(trials)), key=lambda i: (-sign * scores[i], steps[i] if is_number(steps[i]) else 0, keys[i])
    )
    best: dict[object, int] = {}
    for index in order:
        best.setdefault(groups[index], index)
    return sorted(best.values(), key=lambda index: repr(groups[index]))


def _seconds(trials: TrialColumns) -> Sequence[float]:
    pairs = zip(trials["classify_cpu_seconds"], trials["classify_seconds"], strict=True)
    return [cpu if is_number(cpu) else clock if is_number(clock) else 0.0 for cpu, clock in pairs]
