"""Tests of the table of classifiers, which has one row per set of hyperparameters."""

from collections.abc import Callable
from typing import Any

from nefstudy.insight.declared import Declarations
from nefstudy.insight.questions.classifiers import best_rungs, classifiers
from nefstudy.insight.trials import TrialColumns

from ..synthetic_study import trial, trials_of

Make = Callable[..., TrialColumns]


def ran(name: str, *, size: float = 1000, width: int = 1, **changes: Any) -> dict[str, Any]:
    """Return a trial with a classifier of the given size."""
    key = f"{name}-{size}-{width}-{sorted(changes.items())}"
    metrics = {"classifier_parameters": float(size), "classify_seconds": 3.0}
    return trial(classifier=name, key=key, **{**metrics, "width": width, **changes})


def made(*rows: dict[str, Any]) -> TrialColumns:
    """Return trials whose parameters include their classifiers' hyperparameters."""
    trials = trials_of(list(rows))
    more = [{"classifier.epochs": 7, "classifier.width": row["width"]} for row in rows]
    parameters = [a | b for a, b in zip(trials["parameters"], more, strict=True)]
    return TrialColumns({**trials.columns, "parameters": parameters})


def test_means_are_by_field_and_initialization(declared: Declarations) -> None:
    """Each entry is the mean over the replicates of a classifier, field and initialization.

    A missing combination is shown as a dash.
    """
    rows = [ran("mlp", seed=s, test_accuracy=a) for s, a in ((0, 0.5), (1, 0.7))]
    rows += [ran("gnn", size=2000, init="random", field="mfn", test_accuracy=0.25)]
    header, body = classifiers(made(*rows), declared).texts()
    assert header == ["classifier", "parameters", "epochs", "SIREN shared", "MFN random", "time per trial (s)"]
    assert body == [["gnn", "2k", "7", "–", "0.250", "3"], ["mlp", "1k", "7", "0.600 ± 0.141", "–", "3"]]


def test_diverged_fields_count_where_classifiers_are_compared(over_all: Declarations) -> None:
    """Means are over all fields; if a field diverged, means over the surviving fields are shown as well."""
    rows = [ran("mlp", seed=s, test_accuracy=0.8, test_accuracy_all=a) for s, a in ((0, 0.5), (1, 0.7))]
    table = classifiers(made(*rows), over_all)
    header, body = table.texts()
    assert header[3:5] == ["SIREN shared", "SIREN shared, survivors"]
    assert body[0][3:5] == ["0.600 ± 0.141", "0.800 ± 0.000"]
    assert "diverged count as wrong" in table.caption
    header, _ = classifiers(made(*(row | {"test_accuracy_all": 0.8} for row in rows)), over_all).texts()
    assert header[3:] == ["SIREN shared", "time per trial (s)"]
    older = classifiers(made(*rows, ran("gnn", test_accuracy=0.3)), over_all)
    assert older.texts()[1][1][3] == "0.800 ± 0.000", "a trial without the accuracy over all: survivors for every row"


def test_hyperparameters_make_rows(declared: Declarations) -> None:
    """Two widths of a classifier have separate rows, smallest first."""
    table = classifiers(made(ran("mlp", size=9000, width=9), ran("mlp")), declared)
    assert table.column("parameters") == ["1k", "9k"]


def test_the_objective_picks_the_rung_of_each_seed(declared: Declarations) -> None:
    """For each seed, the step count with the best objective is used, whatever its test score.

    If several step counts are equally good, the smallest is used.
    """
    rungs = ((25, 0.9, 0.7), (50, 0.95, 0.6), (75, 0.95, 0.99))
    rows = [
        ran("mlp", seed=seed, steps=steps, val_accuracy=val, test_accuracy=test + seed / 100)
        for seed in (0, 1)
        for steps, val, test in rungs
    ]
    trials = made(*rows)
    indices = best_rungs(trials, objective="val_accuracy", sign=1)
    assert [(trials["seed"][i], trials["steps"][i]) for i in indices] == [(0, 50), (1, 50)]
    assert classifiers(trials, declared).texts()[1][0][3].startswith("0.605")


def test_cpu_time_takes_precedence(declared: Declarations) -> None:
    """If CPU time was measured, the table shows it instead of wall-clock time."""
    assert classifiers(made(ran("mlp", classify_cpu_seconds=2.0)), declared).column("seconds") == [2.0]


def test_trials_without_metrics_have_no_row(declared: Declarations) -> None:
    """A trial without a test accuracy has no row."""
    assert classifiers(made(ran("mlp", test_accuracy=None)), declared).rows == ()


def test_a_task_without_fields_or_step_counts_has_its_rows(make: Make, declared: Declarations) -> None:
    """Trials without a field, an initialization or a numeric step count share their classifier's row."""
    given: list[dict[str, Any]]
    given = [{}, {"field": None}, {"init": None}, {"field": None, "init": 3}, {"steps": "many"}]
    rows = [trial(cell="mnist5k/siren", seed=seed) | changes for seed, changes in enumerate(given)]
    table = classifiers(make(*rows), declared)
    assert len(table.rows) == 1
    assert [column.name for column in table.columns if column.kind == "mean"] == [
        "siren.shared", "siren.–", "–.shared", "–.3"
    ]  # fmt: skip
