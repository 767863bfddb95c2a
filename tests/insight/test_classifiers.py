"""Laws of the comparison of classifiers: every finished trial in its place, a row for each size."""

from collections.abc import Callable
from typing import Any

from nefstudy.insight.classifiers import classifiers, picked
from nefstudy.insight.declared import Declarations
from nefstudy.insight.trials import Trials

from .conftest import trial, trials_of

Make = Callable[..., Trials]


def ran(name: str, *, size: float = 1000, width: int = 1, **changes: Any) -> dict[str, Any]:
    """A trial with a classifier of this size."""
    key = f"{name}-{size}-{width}-{sorted(changes.items())}"
    metrics = {"classifier_parameters": float(size), "classify_seconds": 3.0}
    return trial(classifier=name, key=key, **{**metrics, "width": width, **changes})


def made(*rows: dict[str, Any]) -> Trials:
    """Trials whose parameters hold their classifier's hyperparameters."""
    found = trials_of(list(rows))
    more = [{"classifier.epochs": 7, "classifier.width": row["width"]} for row in rows]
    return Trials({**found.columns, "parameters": [a | b for a, b in zip(found["parameters"], more, strict=True)]})


def test_the_mean_has_its_field_and_initialization(declared: Declarations) -> None:
    """Replicates of one classifier, field and initialization are averaged; what was not tried is empty."""
    rows = [ran("mlp", seed=s, test_accuracy=a) for s, a in ((0, 0.5), (1, 0.7))]
    rows += [ran("gnn", size=2000, init="random", field="mfn", test_accuracy=0.25)]
    header, body = classifiers(made(*rows), declared).texts()
    assert header == ["classifier", "parameters", "epochs", "SIREN shared", "MFN random", "s / trial"]
    assert body == [["gnn", "2k", "7", "–", "0.250", "3"], ["mlp", "1k", "7", "0.600 ± 0.141", "–", "3"]]


def test_hyperparameters_make_rows(declared: Declarations) -> None:
    """Two widths are two rows, smallest first."""
    table = classifiers(made(ran("mlp", size=9000, width=9), ran("mlp")), declared)
    assert table.column("parameters") == ["1k", "9k"]


def test_the_objective_picks_the_rung_of_each_seed(declared: Declarations) -> None:
    """Not the test split: of several step counts the one with the best objective counts, fewest steps first."""
    rungs = ((25, 0.9, 0.7), (50, 0.95, 0.6), (75, 0.95, 0.99))
    rows = [
        ran("mlp", seed=seed, steps=steps, val_accuracy=val, test_accuracy=test + seed / 100)
        for seed in (0, 1)
        for steps, val, test in rungs
    ]
    trials = made(*rows)
    found = picked(trials, objective="val_accuracy", sign=1)
    assert [(trials["seed"][i], trials["steps"][i]) for i in found] == [(0, 50), (1, 50)]
    assert classifiers(trials, declared).texts()[1][0][3].startswith("0.605")


def test_cpu_time_is_preferred_to_the_clock(declared: Declarations) -> None:
    """A loaded machine does not make a classifier look slow where CPU time was measured."""
    assert classifiers(made(ran("mlp", classify_cpu_seconds=2.0)), declared).column("seconds") == [2.0]


def test_without_a_result_there_is_no_row(declared: Declarations) -> None:
    """A trial without its metrics is not compared."""
    assert classifiers(made(ran("mlp", test_accuracy=None)), declared).rows == ()
