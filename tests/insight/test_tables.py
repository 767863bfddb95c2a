"""Best, replicates, savings, failures and comparison: declared metrics in declared directions, with n and intervals."""

import csv
import io
import math
from collections.abc import Callable

import pytest
from scipy import stats

from nefstudy.insight import comparison
from nefstudy.insight.best import best
from nefstudy.insight.declared import Declarations, declarations, undeclared
from nefstudy.insight.failures import FailedTrial, failures, stopped
from nefstudy.insight.replicates import replicates
from nefstudy.insight.savings import savings
from nefstudy.insight.table import Column, Mean, Table, TrialRef, duration, mean_of, plain, text
from nefstudy.insight.trials import Trials, setting

from .conftest import cell_plan, trial

Make = Callable[..., Trials]


def test_an_interval_is_students() -> None:
    """As scipy's own t interval has it; of one value there is a mean and no interval."""
    values = [0.71, 0.74, 0.69, 0.78]
    found = mean_of(values)
    low, high = stats.t.interval(0.95, len(values) - 1, loc=sum(values) / 4, scale=stats.sem(values))
    assert (found.n, found.mean) == (4, pytest.approx(sum(values) / 4))
    assert found.half == pytest.approx((high - low) / 2)
    assert str(found) == f"{found.mean:.3f} ± {found.half:.3f}"
    assert (mean_of([0.5]).n, mean_of([0.5]).half, str(mean_of([0.5]))) == (1, None, "0.500")


def test_an_interval_covers_the_truth_nineteen_times_in_twenty() -> None:
    """Drawn from a normal distribution, 3 at a time: between 93 and 97 % of intervals hold its mean."""
    import numpy as np

    draws = np.random.default_rng(0).normal(0.7, 0.05, (2000, 3))
    held = [abs(found.mean - 0.7) <= (found.half or math.nan) for found in map(mean_of, draws.tolist())]
    assert 0.93 < sum(held) / len(held) < 0.97


def test_seeds_alone_are_pooled() -> None:
    """A setting is the parameters without seeds; what else is left out must be named, with what is below it."""
    one = {"steps": 5, "seed": 1, "dataset.seed": 1, "init": "shared", "classifier": "mlp", "classifier.epochs": 3}
    other = one | {"seed": 2, "dataset.seed": 2, "classifier": "gnn", "classifier.epochs": 9}
    assert setting(one) != setting(other)
    assert setting(one, without=["classifier"]) == setting(other, without=["classifier"])
    assert setting(one) == setting(one | {"seed": 7})
    assert setting(one, without=["dataset.init"]) == setting(one | {"init": "random"}, without=["init"])


def test_replicates_are_grouped_and_ranked(make: Make, declared: Declarations) -> None:
    """Three seeds of two settings, one setting of one seed: two lines, better mean first, with n and interval."""
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
    """The best of a cell has the highest objective, whatever its test accuracy; ties go to the smaller key."""
    rows = [
        trial(key="b", val_accuracy=0.9, test_accuracy=0.1), trial(key="a", val_accuracy=0.9, test_accuracy=0.2),
        trial(key="c", val_accuracy=0.8, test_accuracy=0.99), trial(key="d", val_accuracy=None, test_accuracy=0.99),
        trial(key="e", val_accuracy=0.7, phase="phase1"),
    ]  # fmt: skip
    for order in (rows, rows[::-1]):
        table = best(make(*order), declared)
        assert table.column("key") == [TrialRef("a", "phase2"), TrialRef("e", "phase1")]
    assert [column.name for column in table.columns][3:6] == ["val_accuracy", "test_accuracy", "all_psnr"]


def test_a_minimized_objective_picks_the_lowest(make: Make, minimized: Declarations) -> None:
    """The best has the lowest loss, with its test loss next to it and no accuracy; replicates rank so too."""
    rows = [trial(key="a", val_loss=0.4, test_loss=9.0), trial(key="b", steps=5, val_loss=0.6, test_loss=0.1)]
    table = best(make(*rows), minimized)
    assert table.column("key") == [TrialRef("a", "phase2")]
    assert [column.name for column in table.columns][3:6] == ["val_loss", "test_loss", "all_psnr"]
    seeds = [row | {"seed": seed, "key": f"{row['key']}{seed}"} for row in rows for seed in (0, 1)]
    assert replicates(make(*seeds), minimized).column("steps") == [75, 5]


def test_without_a_test_counterpart_the_column_is_left_out(make: Make) -> None:
    """An objective whose task declares no test metric of the same stem has no reported column."""
    only = [{"name": "all_psnr", "label": "PSNR", "unit": "dB", "direction": "maximize", "split": "all"}]
    objective = {"metric": "all_psnr", "direction": "maximize"}
    declared = declarations({"cells": [cell_plan(metrics=only, objective=objective)]})
    assert declared.of("phase2", "mnist5k/siren").reported is None
    table = best(make(trial()), declared)
    assert [column.name for column in table.columns] == [
        "key", "phase", "cell", "all_psnr", "init", "steps", "hidden", "classifier"
    ]  # fmt: skip


def test_an_undeclared_metric_is_read_from_its_name() -> None:
    """A plan that declares nothing still has labels, units and splits for what its names say."""
    assert (undeclared("test_accuracy").label, undeclared("test_accuracy").split) == ("test accuracy", "test")
    assert (undeclared("all_psnr").label, undeclared("all_psnr").unit) == ("PSNR", "dB")
    assert (undeclared("mine").label, undeclared("mine").direction) == ("mine", None)


def test_a_rung_of_a_fitted_ladder_costs_no_fit(make: Make) -> None:
    """One fit serves two trials: a fit and its steps are spared; a reused trial spares its own."""
    rows = [trial(steps=100, field_steps=5000.0), trial(steps=20), trial(steps=20, seed=1, reused=True)]
    table = savings(make(*rows))
    found = {row[0]: row[1:4] for row in table.rows}
    assert found == {"trials": (3, 2, 1), "fits": (3, 1, 2), "field-steps": (50 * 140, 5000, 2000)}
    assert "needed 1 fits: 2 fits were spared" in table.caption


def test_a_study_without_reuse_saved_nothing(make: Make) -> None:
    """Where every trial fitted its own fields, steps done are steps asked."""
    rows = [trial(steps=steps, seed=steps, dataset=f"d{steps}", field_steps=50.0 * steps) for steps in (5, 25)]
    assert savings(make(*rows)).rows[2] == ("field-steps", 1500, 1500, 0, 0)
    assert savings(make()).caption == "Known from the first complete trial on."


def test_failures_come_by_cause_with_their_latest_trial() -> None:
    """The most frequent cause first; its cells, retries and the latest error, without folders."""
    failed = {("phase2", "a/b", "bug"): 1, ("phase2", "a/b", "oom"): 2}
    latest = [FailedTrial("k1", "phase2", "a/b", "bug", "ValueError: no luck in /srv/secret/model.py\nmore")]
    table = failures(failed, {("phase2", "c/d", "oom"): 3}, latest=latest)
    assert [row[:5] for row in table.rows] == [
        ("oom", "phase2", "a/b", 2, 0), ("oom", "phase2", "c/d", 0, 3), ("bug", "phase2", "a/b", 1, 0)
    ]  # fmt: skip
    assert table.rows[2][5:] == (TrialRef("k1", "phase2"), "ValueError: no luck in model.py")
    assert stopped({("phase2", "a/b"): "bad_data: torn"}).rows == (("phase2", "a/b", "bad_data: torn"),)


def two(make: Make) -> tuple[Trials, Trials]:
    left = [
        trial(steps=s, val_accuracy=a, test_accuracy=a - 0.1) for s, a in ((5, 0.5), (25, 0.6), (75, 0.7), (9, 0.9))
    ]
    right = [
        trial(steps=s, val_accuracy=a, test_accuracy=a - 0.1) for s, a in ((5, 0.53), (25, 0.61), (75, 0.75), (7, 0.95))
    ]
    return make(*left), make(*right)


def test_differences_are_paired(make: Make, declared: Declarations) -> None:
    """Three common digests; the mean difference and its interval are over the pairs; swapped, the sign changes."""
    left, right = two(make)
    found = comparison.compare(("a", left), ("b", right), declared)
    difference = found.differences(None, "test_accuracy")
    assert difference is not None
    assert (difference.n, difference.mean) == (3, pytest.approx(0.03))
    assert difference.half == pytest.approx(4.30265 * 0.02 / math.sqrt(3), rel=1e-4)
    swapped = comparison.compare(("b", right), ("a", left), declared).differences(None, "test_accuracy")
    assert swapped is not None
    assert swapped.mean == pytest.approx(-0.03)
    header, body = comparison.differences(found).texts()
    assert header == ["cell", "phase", "pairs", "validation accuracy", "test accuracy", "PSNR (dB)"]
    assert body[0][:4] == ["mnist5k/siren", "phase2", "3", "+0.0300 ± 0.0497"]
    assert comparison.cells(found).texts()[1][0] == [
        "mnist5k/siren", "phase2", "a", "0.900", "0.800", "0.575 ± 0.171", "4"
    ]  # fmt: skip
    assert "above the diagonal b is better" in comparison.pair_figure(found).caption


def test_what_differs_by_design_is_left_out_on_request(make: Make, declared: Declarations) -> None:
    """Another classifier: no common digest; without the classifier, each setting is a pair, means over seeds."""
    left = make(trial(steps=5, val_accuracy=0.5))
    right = make(*(trial(key=f"k{s}", steps=5, seed=s, classifier="mlp", val_accuracy=0.6 + 0.02 * s) for s in (0, 1)))
    assert comparison.compare(("a", left), ("c", right), declared).pairs == ()
    (pair,) = comparison.compare(("a", left), ("c", right), declared, without=["classifier"]).pairs
    assert (len(pair.left), len(pair.right)) == (1, 2)
    assert pair.difference("val_accuracy") == pytest.approx(0.11)


def test_data_and_csv_carry_full_precision() -> None:
    """A mean is n, mean, deviation and half interval in JSON and CSV; text rounds; a detail is not shown."""
    mean = mean_of([0.1, 0.25])
    columns = (Column("m", "accuracy", "mean"), Column("k", "trial", "trial"), Column("d", "d", detail=True))
    table = Table("t", "T", "", columns, ((mean, TrialRef("k", "p"), "x"),))
    sink = io.StringIO()
    csv.writer(sink).writerows(table.flat())
    (row,) = csv.DictReader(io.StringIO(sink.getvalue()))
    assert (float(row["m.mean"]), float(row["m.half"]), row["m.n"]) == (mean.mean, mean.half, "2")
    assert table.texts() == (["accuracy", "trial"], [[f"{mean.mean:.3f} ± {mean.half:.3f}", "k"]])
    assert plain(table)["rows"][0][:2] == [vars(mean), {"key": "k", "phase": "p"}]


def test_numbers_have_their_units() -> None:
    """Counts, shares, percents and durations read as people write them; none is a dash."""
    kinds = [("count", 1234.0), ("share", 0.256), ("percent", 12.34), ("seconds", 300.0), ("number", None)]
    shown = [text(value, Column("c", "c", kind)) for kind, value in kinds]  # type: ignore[arg-type]
    assert shown == ["1,234", "26 %", "+12.3 %", "5 min", "–"]
    assert [duration(s) for s in (0.4, 89, 300, 5399, 5400, 1e7)] == [
        "0 s", "89 s", "5 min", "90 min", "1.5 h", "2,777.8 h"
    ]  # fmt: skip
