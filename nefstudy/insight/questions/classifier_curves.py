"""Training curves by classifier size: the accuracy per epoch of one trial for each number of parameters.

The figure reproduces Papa et al. 2024, supplement, figure 1, with the sizes of a study.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

from nefstudy.insight.figure import Axis, Figure, Mark
from nefstudy.insight.questions.classifiers import field_order
from nefstudy.insight.questions.initialization import init_order
from nefstudy.insight.table import TrialRef
from nefstudy.insight.trials import TrialColumns, having

SIZE = "classifier_parameters"
GROUP = ("classifier", "init", "field")
COLUMNS = ("key", "phase", *GROUP, SIZE)
CURVES = {"val_accuracy": "validation", "train_accuracy": "training"}
MAX_SIZES = 8  # of a classifier; more lines would hide one another

Curves = Mapping[str, Sequence[tuple[float, float]]]
"""A trial's curves by metric, as pairs of epoch and value."""


def classifier_curves(trials: TrialColumns, *, curves: Callable[[TrialRef], Curves]) -> Figure:
    """Return the validation and training curves of every classifier with several sizes, one pair for each size.

    Args:
        curves: returns the curves of a trial; called only for the trials shown.
    """
    groups = trials_by_size(trials)
    shown = [index for group in groups for index in group]
    points = [point for number, index in enumerate(shown) for point in _points(trials, index, number, curves=curves)]
    columns = {name: [point[name] for point in points] for name in (points[0] if points else ())}
    words = "No classifier was trained in more than one size."
    if groups:
        count = f"{len(groups)} group{'' if len(groups) == 1 else 's'}"
        words = f"One trial for each number of parameters: {len(shown)} trials in {count} of one classifier, "
        words += "initialization and field."
    return Figure(
        id="classifier-curves",
        title="Training by classifier size",
        caption=words,
        x=Axis("epoch"),
        y=Axis("accuracy"),
        marks=(Mark("line", columns),) if points else (),
        color="size",
        symbol="split",
        facet="classifier",
        of=len(shown),
        names={"size": "parameters", "split": "split"},
    )


def trials_by_size(trials: TrialColumns) -> list[list[int]]:
    """Group the trials by classifier, init and field; for each group with several sizes, return one trial per size.

    If there are more than MAX_SIZES sizes, evenly spaced ones are kept, including the smallest and the largest.
    """
    measured = having(TrialColumns({**trials.columns, "index": range(len(trials))}), SIZE)
    groups: dict[tuple[str, ...], dict[float, int]] = defaultdict(dict)
    for index, size, *group in zip(*(measured[name] for name in ("index", SIZE, *GROUP)), strict=True):
        groups[tuple(str(word or "") for word in group)].setdefault(size, index)
    order = sorted(groups, key=lambda group: (group[0], init_order(group[1]), field_order(group[2])))
    return [_spaced([groups[at][size] for size in sorted(groups[at])]) for at in order if len(groups[at]) > 1]


def _spaced(indices: Sequence[int]) -> list[int]:
    last, count = len(indices) - 1, min(len(indices), MAX_SIZES)
    return [indices[round(step * last / (count - 1))] for step in range(count)]


def _points(
    trials: TrialColumns, index: int, number: int, *, curves: Callable[[TrialRef], Curves]
) -> Iterator[dict[str, object]]:
    """Yield the points of a trial's two curves."""
    trial = TrialRef(trials["key"][index], trials["phase"][index])
    found = curves(trial)
    fixed = {"key": trial.key, "phase": trial.phase, **{name: trials[name][index] for name in GROUP}}
    fixed |= {"size": trials[SIZE][index]}
    for curve, split in CURVES.items():
        for epoch, value in found.get(curve, ()):
            yield {**fixed, "split": split, "z": f"{number} {split}", "x": epoch, "y": value}
