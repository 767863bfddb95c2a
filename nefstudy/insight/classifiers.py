"""Classifiers side by side: the reported metric by field and initialization, for each set of hyperparameters."""

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence

from nefstudy.insight.declared import Declarations
from nefstudy.insight.initialization import init_order
from nefstudy.insight.table import Column, Mean, Table, mean_of
from nefstudy.insight.trials import Trials, having, is_number

COLUMNS = (
    "key", "phase", "cell", "seed", "steps", "field", "init", "classifier", "parameters", "classifier_parameters",
    "classify_seconds", "classify_cpu_seconds",
)  # fmt: skip
FIELD_TITLES = {"siren": "SIREN", "rffnet": "RFFNet", "mfn": "MFN"}

Place = tuple[str, str]
"""Field and initialization."""


def field_title(field: str) -> str:
    """Return a field's name as the literature writes it, or unchanged."""
    return FIELD_TITLES.get(field, field)


def field_order(field: str) -> tuple[int, str]:
    """Return the sorting key of fields: the reference study's in its order, then others by name."""
    known = list(FIELD_TITLES)
    return known.index(field) if field in known else len(known), field


def classifiers(trials: Trials, declared: Declarations) -> Table:
    """Return a row for each classifier and set of its hyperparameters, in the order of names and sizes.

    Of each field, initialization and seed only the trial that the objective picks counts, whichever step count it has.
    """
    groups: dict[tuple[tuple[str, object], ...], list[int]] = defaultdict(list)
    for index, parameters in enumerate(trials["parameters"]):
        own = sorted((name, value) for name, value in (parameters or {}).items() if name.startswith("classifier"))
        if own:
            groups[tuple(own)].append(index)
    lines = [line for group in groups.values() if (line := _line(trials.at(group), declared))]
    places = sorted({p for *_, means in lines for p in means}, key=lambda p: (field_order(p[0]), init_order(p[1])))
    lines.sort(key=lambda line: line[:2])
    return Table(
        id="classifiers",
        title="Classifiers",
        caption="Mean of the reported metric ± standard deviation over seeds; of each seed the trial that the "
        "objective picks. Seconds are of training and scoring, of the CPU where it was measured.",
        columns=(
            Column("classifier", "classifier"),
            Column("parameters", "parameters"),
            Column("epochs", "epochs", "count"),
            *(Column(f"{f}.{i}", f"{field_title(f)} {i}", "mean", sure=False) for f, i in places),
            Column("seconds", "s / trial", "number", digits=0),
        ),
        rows=tuple(
            (name, _sizes(sizes), epochs, *(means.get(place) for place in places), seconds)
            for name, sizes, epochs, seconds, means in lines
        ),
        of=len(trials),
    )


def _sizes(sizes: tuple[float, float]) -> str:
    return " to ".join(dict.fromkeys(f"{size / 1000:.0f}k" for size in sizes))


def _line(
    group: Trials, declared: Declarations
) -> tuple[str, tuple[float, float], int | None, float, Mapping[Place, Mean]] | None:
    own = declared.of(group["phase"][0], group["cell"][0])
    shown = having(group, own.objective, own.shown.name)
    if not len(shown):
        return None
    values: dict[Place, list[float]] = defaultdict(list)
    for index in picked(shown, objective=own.objective, sign=own.sign):
        values[shown["field"][index], shown["init"][index]].append(shown[own.shown.name][index])
    sizes = [size if is_number(size) else 0 for size in shown["classifier_parameters"]]
    epochs = (shown["parameters"][0] or {}).get("classifier.epochs")
    seconds = statistics.fmean(_seconds(shown))
    name = str(shown["classifier"][0])
    return name, (min(sizes), max(sizes)), epochs, seconds, {place: mean_of(found) for place, found in values.items()}


def picked(trials: Trials, *, objective: str, sign: int) -> list[int]:
    """Return of each field, initialization and seed the trial that the objective picks; a tie goes to fewer steps."""
    places = list(zip(trials["field"], trials["init"], trials["seed"], strict=True))
    scores, steps, keys = trials[objective], trials["steps"], trials["key"]
    order = sorted(range(len(trials)), key=lambda i: (-sign * scores[i], steps[i] or 0, keys[i]))
    best: dict[object, int] = {}
    for index in order:
        best.setdefault(places[index], index)
    return sorted(best.values(), key=lambda index: repr(places[index]))


def _seconds(trials: Trials) -> Sequence[float]:
    pairs = zip(trials["classify_cpu_seconds"], trials["classify_seconds"], strict=True)
    return [cpu if is_number(cpu) else clock if is_number(clock) else 0.0 for cpu, clock in pairs]
