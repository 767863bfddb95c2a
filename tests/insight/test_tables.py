"""Tests of the tables of best trials, replicates, savings, failures and comparisons."""

import csv
import io
import math
from collections.abc import Callable

import pytest
from scipy import stats

from nefstudy.insight.declared import Declarations, declarations, undeclared
from nefstudy.insight.questions import comparison
from nefstudy.insight.questions.best import best
from nefstudy.insight.questions.failures import FailedTrial, failures, stopped
from nefstudy.insight.questions.replicates import replicates
from nefstudy.insight.questions.savings import savings
from nefstudy.insight.table import Column, Mean, Table, TrialRef, duration, mean_of, plain, text
from nefstudy.insight.trials import TrialColumns, setting

from .synthetic_study import cell_plan, trial

Make = Callable[..., TrialColumns]


def test_an_interval_is_students() -> None:
    """The interval of a mean equals scipy's t interval.

    A single value has no interval.
    """
    values = [0.71, 0.74, 0.69, 0.78]
    mean = mean_of(values)
    low, high = stats.t.interval(0.95, len(values) - 1, loc=sum(values) / 4, scale=stats.sem(values))
    assert mean.n == 4
    assert mean.mean == pytest.approx(sum(values) / 4)
    assert mean.half == pytest.approx((high - low) / 2)
    assert str(mean) == f"{mean.mean:.3f} ± {mean.half:.3f}"
    assert (mean_of([0.5]).n, mean_of([0.5]).half, str(mean_of([0.5]))) == (1, None, "0.500")


def test_an_interval_covers_the_truth_nineteen_times_in_twenty() -> None:
    """For samples of three normally distributed values, 93 to 97 % of the intervals contain the mean."""
    import numpy as np

    draws = np.random.default_rng(0).normal(0.7, 0.05, (2000, 3))
    covered = [abs(mean.mean - 0.7) <= (mean.half or math.nan) for mean in map(mean_of, draws.tolist())]
    assert 0.93 < sum(covered) / len(covered) < 0.97


def test_seeds_alone_are_pooled() -> None:
    """Trials that differ only in seeds or in excluded parameters belong to the same setting.

    Excluding a parameter also excludes everything nested in it.
    """
    one = {"steps": 5, "seed": 1, "dataset.seed": 1, "init": "shared", "classifier": "mlp", "classifier.epochs": 3}
    other = one | {"seed": 2, "dataset.seed": 2, "classifier": "gnn", "classifier.epochs": 9}
    assert setting(one) != setting(other)
    assert setting(one, without=["classifier"]) == setting(other, without=["classifier"])
    assert setting(one) == setting(one | {"seed": 7})
    assert setting(one, without=["dataset.init"]) == setting(one | {"init": "random"}, without=["init"])


def test_replicates_are_grouped_and_ranked(make: Make, declared: Declarations) -> None:
    """In the table of replicates, only settings with several seeds have a row, and rows with better means come first.

    A row states n and an interval.
    """
    rows = [
        trial(steps=steps, seed=seed, val_accuracy=base + 0.01 * seed, test_accuracy=base + 0.01 * seed)
        for steps, base in ((5, 0.5), (25, 0.7), (75, 0.9))
        for seed in range(3 if steps < 75 else 1)
    ]
    table = replicates(make(*rows), declared)
    assert list(zip(table.column("steps"), table.column("n"), strict=True)) == [(25, 3), (5, 3)]
    (first, _) = table.column("test_accuracy")
    assert isinstance(first, Mean)
    assert first.half == pytest.approx(4.30265 * 0.01 / math.sqrt(3), rel=1e-4)
    assert replicates(make(*rows), declared, each=1).column("steps") == [25]
    assert replicates(make(rows[0]), declared).rows == ()


def test_best_is_picked_by_the_objective(make: Make, declared: Declarations) -> None:
    """A cell's best trial is the one with the highest value of the objective, whatever its test accuracy.

    Among equal trials, the one with the smaller key is best.
    """
    rows = [
        trial(key="b", val_accuracy=0.9, test_accuracy=0.1), trial(key="a", val_accuracy=0.9, test_accuracy=0.2),
        trial(key="c", val_accuracy=0.8, test_accuracy=0.99), trial(key="d", val_accuracy=None, test_accuracy=0.99),
        trial(key="e", val_accuracy=0.7, phase="phase1"),
    ]  # fmt: skip
    for order in (rows, rows[::-1]):
        table = best(make(*order), declared)
        assert table.column("key") == [TrialRef("a", "phase2"), TrialRef("e", "phase1")]
    assert [column.name for column in table.columns][3:6] == ["val_accuracy", "test_accuracy", "all_psnr"]


def test_tables_of_trials_show_both_accuracies(make: Make, over_all: Declarations) -> None:
    """Tables of best trials, replicates and differences show the accuracies over survivors and over all fields."""
    rows = [trial(key=f"k{seed}", seed=seed, test_accuracy=0.8, test_accuracy_all=0.6 + seed / 10) for seed in (0, 1)]
    both = ["test_accuracy", "test_accuracy_all"]
    assert [column.name for column in best(make(*rows), over_all).columns][4:6] == both
    table = replicates(make(*rows), over_all)
    assert [column.name for column in table.columns if column.name in both] == both
    assert str(table.column("test_accuracy_all")[0]).startswith("0.650")
    compared = comparison.compare(("a", make(rows[0])), ("b", make(rows[0] | {"test_accuracy_all": 0.5})), over_all)
    difference = compared.differences(None, "test_accuracy_all")
    assert difference is not None
    assert difference.mean == pytest.approx(-0.1)
    assert [str(mean) for mean in comparison.cells(compared).column("mean")] == ["0.600", "0.500"]
    old = comparison.compare(("a", make(rows[0])), ("b", make(trial(key="k0"))), over_all)
    assert [str(mean) for mean in comparison.cells(old).column("mean")] == ["0.800", "0.800"]


def test_a_minimized_objective_picks_the_lowest(make: Make, minimized: Declarations) -> None:
    """If the objective is minimized, the trial or setting with the lowest value is best.

    The table reports the test loss.
    """
    rows = [trial(key="a", val_loss=0.4, test_loss=9.0), trial(key="b", steps=5, val_loss=0.6, test_loss=0.1)]
    table = best(make(*rows), minimized)
    assert table.column("key") == [TrialRef("a", "phase2")]
    assert [column.name for column in table.columns][3:6] == ["val_loss", "test_loss", "all_psnr"]
    seeds = [row | {"seed": seed, "key": f"{row['key']}{seed}"} for row in rows for seed in (0, 1)]
    assert replicates(make(*seeds), minimized).column("steps") == [75, 5]


def test_without_a_test_counterpart_the_column_is_left_out(make: Make) -> None:
    """If no test metric corresponds to the objective, the table of best trials has no column for a test metric."""
    only = [{"name": "all_psnr", "label": "PSNR", "unit": "dB", "direction": "maximize", "split": "all"}]
    objective = {"metric": "all_psnr", "direction": "maximize"}
    declared = declarations({"cells": [cell_plan(metrics=only, objective=objective)]})
    assert declared.of("phase2", "mnist5k/siren").reported is None
    table = best(make(trial()), declared)
    assert [column.name for column in table.columns] == [
        "key", "phase", "cell", "all_psnr", "init", "steps", "hidden", "classifier"
    ]  # fmt: skip


def test_an_undeclared_metric_is_read_from_its_name() -> None:
    """The label, unit and split of an undeclared metric are derived from its name."""
    assert (undeclared("test_accuracy").label, undeclared("test_accuracy").split) == ("test accuracy", "test")
    assert (undeclared("all_psnr").label, undeclared("all_psnr").unit) == ("PSNR", "dB")
    assert (undeclared("mine").label, undeclared("mine").direction) == ("mine", None)


def test_shared_fits_and_reused_trials_count_as_saved(make: Make) -> None:
    """If two trials share a fit, the second fit and its steps count as saved.

    The fit and the steps of a reused trial also count as saved.
    """
    rows = [trial(steps=100, field_steps=5000.0), trial(steps=20), trial(steps=20, seed=1, reused=True)]
    table = savings(make(*rows))
    by_kind = {row[0]: row[1:4] for row in table.rows}
    assert by_kind == {"trials": (3, 2, 1), "fits": (3, 1, 2), "field-steps": (50 * 140, 5000, 2000)}
    assert table.caption.startswith(
        "3 complete trials needed 1 fit: 2 fits saved, 29 % of the field-steps; 1 trial reused"
    )
    assert table.texts()[0] == ["work", "without reuse", "with reuse", "saved", "share saved"]


def test_study_without_reuse_saves_nothing(make: Make) -> None:
    """If every trial fits its own neural dataset, no steps are saved."""
    rows = [trial(steps=steps, seed=steps, dataset=f"d{steps}", field_steps=50.0 * steps) for steps in (5, 25)]
    assert savings(make(*rows)).rows[2] == ("field-steps", 1500, 1500, 0, 0)
    assert savings(make()).caption == "No complete trial yet."


def test_trials_without_a_neural_dataset_save_no_fit(make: Make) -> None:
    """A trial that reads no neural dataset counts as a trial, but neither as a fit nor as a saved fit."""
    plain = trial(seed=1, dataset=None)
    assert savings(make(plain)).rows[1:] == (("fits", 0, 0, 0, None), ("field-steps", 0, 0, 0, None))
    assert "none of which reads a neural dataset" in savings(make(plain)).caption
    mixed = savings(make(plain, trial(steps=100, field_steps=5000.0)))
    assert mixed.rows[:2] == (("trials", 2, 2, 0, 0), ("fits", 1, 1, 0, 0))
    assert mixed.caption == "No work saved so far: 1 complete trial needed 1 fit."


def test_failures_are_sorted_by_cause_with_the_latest_trial() -> None:
    """Failures are grouped by cause, and the most frequent cause comes first.

    Each row has counts, retries and the latest error without paths.
    """
    failed = {("phase2", "a/b", "bug"): 1, ("phase2", "a/b", "oom"): 2}
    latest = [FailedTrial("k1", "phase2", "a/b", "bug", "ValueError: no luck in /srv/secret/model.py\nmore")]
    table = failures(failed, {("phase2", "c/d", "oom"): 3}, latest=latest)
    assert [row[:5] for row in table.rows] == [
        ("oom", "phase2", "a/b", 2, 0), ("oom", "phase2", "c/d", 0, 3), ("bug", "phase2", "a/b", 1, 0)
    ]  # fmt: skip
    assert table.rows[2][5:] == (TrialRef("k1", "phase2"), "ValueError: no luck in model.py")
    assert stopped({("phase2", "a/b"): "bad_data: torn"}).rows == (("phase2", "a/b", "bad_data: torn"),)


def two(make: Make) -> tuple[TrialColumns, TrialColumns]:
    left = [
        trial(steps=s, val_accuracy=a, test_accuracy=a - 0.1) for s, a in ((5, 0.5), (25, 0.6), (75, 0.7), (9, 0.9))
    ]
    right = [
        trial(steps=s, val_accuracy=a, test_accuracy=a - 0.1) for s, a in ((5, 0.53), (25, 0.61), (75, 0.75), (7, 0.95))
    ]
    return make(*left), make(*right)


def test_differences_are_paired(make: Make, declared: Declarations) -> None:
    """The mean difference and its interval are computed over pairs of trials with equal digests.

    Swapping the studies flips the sign.
    """
    left, right = two(make)
    compared = comparison.compare(("a", left), ("b", right), declared)
    difference = compared.differences(None, "test_accuracy")
    assert difference is not None
    assert difference.n == 3
    assert difference.mean == pytest.approx(0.03)
    assert difference.half == pytest.approx(4.30265 * 0.02 / math.sqrt(3), rel=1e-4)
    swapped = comparison.compare(("b", right), ("a", left), declared).differences(None, "test_accuracy")
    assert swapped is not None
    assert swapped.mean == pytest.approx(-0.03)
    header, body = comparison.differences(compared).texts()
    assert header == ["cell", "phase", "pairs", "validation accuracy", "test accuracy", "PSNR (dB)"]
    assert body[0][:4] == ["mnist5k/siren", "phase2", "3", "+0.0300 ± 0.0497"]
    assert comparison.cells(compared).texts()[1][0] == [
        "mnist5k/siren", "phase2", "a", "0.900", "0.800", "0.575 ± 0.171", "4"
    ]  # fmt: skip
    assert "above the diagonal b is better" in comparison.pair_figure(compared).caption


def test_parameters_can_be_ignored_when_pairing(make: Make, declared: Declarations) -> None:
    """If pairing ignores classifiers, trials with different classifiers can form a pair.

    A pair compares means over seeds.
    """
    left = make(trial(steps=5, val_accuracy=0.5))
    right = make(*(trial(key=f"k{s}", steps=5, seed=s, classifier="mlp", val_accuracy=0.6 + 0.02 * s) for s in (0, 1)))
    assert comparison.compare(("a", left), ("c", right), declared).pairs == ()
    (pair,) = comparison.compare(("a", left), ("c", right), declared, without=["classifier"]).pairs
    assert (len(pair.left), len(pair.right)) == (1, 2)
    assert pair.difference("val_accuracy") == pytest.approx(0.11)


def test_data_and_csv_carry_full_precision() -> None:
    """The JSON and CSV of a table contain its detail columns, and all numbers in full precision.

    Displayed text is rounded and omits the detail columns.
    """
    mean = mean_of([0.1, 0.25])
    columns = (Column("m", "accuracy", "mean"), Column("k", "trial", "trial"), Column("d", "d", detail=True))
    table = Table("t", "T", "", columns, ((mean, TrialRef("k", "p"), "x"),))
    sink = io.StringIO()
    csv.writer(sink).writerows(table.flat())
    (row,) = csv.DictReader(io.StringIO(sink.getvalue()))
    assert (float(row["m.mean"]), float(row["m.half"]), row["m.n"]) == (mean.mean, mean.half, "2")
    assert table.texts() == (["accuracy", "trial"], [[f"{mean.mean:.3f} ± {mean.half:.3f}", "k"]])
    assert plain(table)["rows"][0][:2] == [vars(mean), {"key": "k", "phase": "p"}]


def test_numbers_are_formatted_with_units() -> None:
    """Counts, shares, percentages and durations are formatted with their units.

    None is shown as a dash.
    """
    kinds = [("count", 1234.0), ("share", 0.256), ("percent", 12.34), ("seconds", 300.0), ("number", None)]
    shown = [text(value, Column("c", "c", kind)) for kind, value in kinds]  # type: ignore[arg-type]
    assert shown == ["1,234", "26 %", "+12.3 %", "5 min", "–"]
    assert [duration(s) for s in (0.4, 89, 300, 5399, 5400, 1e7)] == [
        "0 s", "89 s", "5 min", "90 min", "1.5 h", "2,777.8 h"
    ]  # fmt: skip


def test_a_fraction_in_a_column_of_counts_keeps_its_decimals() -> None:
    """In a column of counts, a fraction is shown with its decimals instead of rounded.

    Whole numbers have no decimals.
    """
    column = Column("steps", "steps", "count")
    assert [text(value, column) for value in (1000, 1000.0, 0.5, 1234.5678)] == ["1,000", "1,000", "0.5", "1,234.568"]


def test_a_task_without_neural_datasets_saves_no_fits(make: Make) -> None:
    """Trials that read no neural dataset need no fits, so no fit counts as saved."""
    table = savings(make(*(trial(seed=seed, dataset=None, field_steps=None) for seed in range(3))))
    assert table.rows[1] == ("fits", 0, 0, 0, None)
    assert table.caption.startswith("3 complete trials, none of which reads a neural dataset")


@pytest.mark.parametrize(
    ("objective", "shows_test"), [("val_accuracy", True), ("test_accuracy", False), ("mine", False)]
)
def test_the_best_trials_name_test_metrics_only_if_they_are_reported(make: Make, objective, shows_test) -> None:
    """The caption of best trials mentions test metrics only if the table shows test metrics next to the objective."""
    plan = cell_plan(objective={"metric": objective, "direction": "maximize"})
    table = best(make(trial(mine=0.5)), declarations({"cells": [plan]}))
    assert ("test metrics are shown, but not used" in table.caption) == shows_test
    nothing = best(make(trial(val_accuracy=None)), declarations({"cells": [cell_plan()]}))
    assert nothing.caption == "No complete trial with a value of its objective yet."
