"""Tests of the table that compares initializations by means, gains and published results."""

import statistics
from collections.abc import Callable

import pytest

from nefstudy.insight.declared import Declarations, declarations
from nefstudy.insight.published import PAPER_TABLE_4
from nefstudy.insight.questions.initialization import initialization, last_phase
from nefstudy.insight.table import Mean
from nefstudy.insight.trials import TrialColumns

from ..synthetic_study import cell_plan, trial

Make = Callable[..., TrialColumns]


def test_means_and_deviations_are_those_of_the_rows(study: TrialColumns, declared: Declarations) -> None:
    """Each entry has the mean and sample standard deviation of the trials with the entry's cell and initialization."""
    table = initialization(study, declared)
    assert table.column("cell") == ["mnist5k/siren", "mnist5k/rffnet", "mnist5k/mfn"]
    rows = list(zip(study["cell"], study["init"], study["test_accuracy"], strict=True))
    for init in ("random", "shared"):
        for cell, mean in zip(table.column("cell"), table.column(init), strict=True):
            own = [value for at, how, value in rows if (at, how) == (cell, init)]
            assert isinstance(mean, Mean)
            assert mean.n == len(own) == 18
            assert mean.mean == pytest.approx(statistics.fmean(own))
            assert mean.sd == pytest.approx(statistics.stdev(own))


def test_the_order_of_trials_does_not_matter(study: TrialColumns, declared: Declarations) -> None:
    """The table does not depend on the order of trials.

    Changing an accuracy changes the table.
    """
    table = initialization(study, declared)
    reversed_order = initialization(study.at(range(len(study) - 1, -1, -1)), declared)
    assert [row[0] for row in reversed_order.rows] == [row[0] for row in table.rows]
    assert reversed_order.flat()[1][1:4] == pytest.approx(table.flat()[1][1:4])
    changed = TrialColumns({**study.columns, "test_accuracy": [0.123, *study["test_accuracy"][1:]]})
    assert initialization(changed, declared).rows != table.rows


def test_the_gain_is_the_published_one(make: Make, declared: Declarations) -> None:
    """A gain computed from the means in the paper by Papa et al. equals the gain printed there, up to rounding."""
    for line in PAPER_TABLE_4.values():
        ends = []
        for off in (0.005, -0.005):
            rows = make(
                trial(init="random", test_accuracy=line.random.mean + off),
                trial(init="shared", test_accuracy=line.shared.mean - off),
            )
            (gain,) = initialization(rows, declared).column("gain.shared")
            assert isinstance(gain, Mean)
            ends.append(gain.mean)
        assert ends[0] <= line.gain <= ends[1]


def test_a_gain_compares_matched_settings_alone(make: Make, declared: Declarations) -> None:
    """A gain compares only settings that both initializations have.

    A row whose means include other settings is marked.
    """
    matched = [
        trial(init=init, steps=steps, test_accuracy=base + steps / 1000)
        for init, base in (("random", 0.3), ("shared", 0.6))
        for steps in (5, 25)
    ]
    balanced = initialization(make(*matched), declared)
    lopsided = initialization(make(*matched, trial(init="shared", steps=5000, test_accuracy=0.1)), declared)
    assert balanced.column("n") == ["2/2"]
    assert lopsided.column("n") == ["2/3*"]
    assert lopsided.column("gain.shared") == balanced.column("gain.shared")
    assert "different settings" in lopsided.caption
    assert "different settings" not in balanced.caption


def test_a_gain_needs_the_base(make: Make, declared: Declarations) -> None:
    """A gain requires matched settings and a nonzero mean of the `random` trials."""
    assert "gain.shared" not in [c.name for c in initialization(make(trial()), declared).columns]
    zero = make(trial(init="random", test_accuracy=0.0), trial())
    assert initialization(zero, declared).column("gain.shared") == [None]
    unmatched = make(trial(init="random", steps=5), trial(steps=25))
    assert initialization(unmatched, declared).column("gain.shared") == [None]


def test_any_initialization_has_its_column_and_gain(make: Make, declared: Declarations) -> None:
    """Initializations other than `random` and `shared` have a column after these two, and a gain over `random`."""
    rows = make(*(trial(init=init, test_accuracy=value) for init, value in
                  (("mean", 0.5), ("shared", 0.8), ("random", 0.4))))  # fmt: skip
    table = initialization(rows, declared)
    assert [column.name for column in table.shown()] == [
        "cell", "random", "shared", "mean", "gain.shared", "gain.mean", "n"
    ]  # fmt: skip
    gains = [table.column(name)[0] for name in ("gain.shared", "gain.mean")]
    assert [gain.mean for gain in gains if isinstance(gain, Mean)] == pytest.approx([100, 25])


def test_diverged_fields_count_where_settings_are_compared(make: Make, over_all: Declarations) -> None:
    """Means, gains and the paper's column use the accuracy over all fields; survivors have their own columns."""
    rows = make(
        trial(field="rffnet", cell="mnist5k/siren", init="random", test_accuracy=0.5, test_accuracy_all=0.4),
        trial(field="rffnet", cell="mnist5k/siren", init="shared", test_accuracy=0.8, test_accuracy_all=0.6),
    )
    table = initialization(rows, over_all)
    assert table.title == "Test accuracy over all by initialization"
    assert [column.label for column in table.shown()] == [
        "cell", "random", "shared", "random, survivors", "shared, survivors", "gain", "n", "paper"
    ]  # fmt: skip
    means = [table.column(name)[0] for name in ("random", "shared", "survivors.random", "survivors.shared")]
    assert [mean.mean for mean in means if isinstance(mean, Mean)] == [0.4, 0.6, 0.5, 0.8]
    (gain,) = table.column("gain.shared")
    assert isinstance(gain, Mean)
    assert gain.mean == pytest.approx(50)
    assert "diverged count as wrong" in table.caption


def test_survivors_are_shown_only_if_a_field_diverged(make: Make, over_all: Declarations) -> None:
    """Only one accuracy is shown if no field diverged, or if an older trial has no accuracy over all fields."""
    same = [trial(init=init, test_accuracy_all=0.8) for init in ("random", "shared")]
    for rows, title in (
        (same, "Test accuracy over all by initialization"),
        ([*same, trial(steps=5)], "Test accuracy by initialization"),
    ):
        table = initialization(make(*rows), over_all)
        assert table.title == title
        assert [column.name for column in table.shown()] == ["cell", "random", "shared", "gain.shared", "n"]
        assert "diverged" not in table.caption
    older = initialization(make(*same, trial(classifier="mlp")), over_all)
    assert older.title == "Test accuracy by initialization", "the classifiers of a cell are compared by one metric"


def test_diverged_and_constant_fields_are_counted(make: Make, declared: Declarations) -> None:
    """The caption counts the trials with diverged or constant fields, if there are any."""
    rows = [trial(steps=steps, diverged=0.0, constant=float(steps == 5)) for steps in (5, 25)]
    shown = initialization(make(*rows, trial(steps=75)), declared).caption
    assert "Some fields had a constant output in 1 of 2 trials (at most 1 per trial)." in shown
    assert "diverged" not in shown
    lost = initialization(make(rows[0] | {"diverged": 1200.0}), declared).caption
    assert "Some fields diverged in 1 of 1 trial (at most 1,200 per trial)." in lost


def test_gain_of_a_minimized_metric_is_its_decrease(make: Make, minimized: Declarations) -> None:
    """Halving a minimized loss counts as a gain of 50 %.

    The table shows the test loss.
    """
    rows = make(trial(init="random", val_loss=1.0, test_loss=2.0), trial(val_loss=0.5, test_loss=1.0))
    table = initialization(rows, minimized)
    (gain,) = table.column("gain.shared")
    assert isinstance(gain, Mean)
    assert gain.mean == pytest.approx(50)
    assert table.title == "Test loss by initialization"


def test_the_last_phase_with_a_result_is_shown(make: Make) -> None:
    """The table shows only the last phase that has a result."""
    declared = declarations({"cells": [cell_plan("phase1"), cell_plan("phase2")]})
    first = [trial(phase="phase1", init=init) for init in ("random", "shared")]
    pending = trial(test_accuracy=None)
    assert initialization(make(*first, pending), declared).of == 2
    assert last_phase(make(*first, pending), declared) == "phase1"
    assert last_phase(make(*first, trial()), declared) == "phase2"
    assert initialization(make(), declared).caption == "No finished trial yet."


def test_published_results_are_included(make: Make, declared: Declarations) -> None:
    """For a subset of a data set that Papa et al. used, the table includes the published result of each field.

    A field without a published result has a dash.
    """
    rows = make(trial(field="rffnet"), trial(field="siren"))
    table = initialization(rows, declared)
    shown = dict(zip(table.column("cell"), table.column("paper"), strict=True))
    assert shown == {"mnist5k/rffnet": "0.20 → 0.86", "mnist5k/siren": "–"}
    header, *body = table.flat()
    line = dict(zip(header, body[1], strict=True))
    assert (line["paper.random.n"], line["paper.random.sd"], line["paper.gain"]) == (30, 0.09, 327.10)


def test_classifiers_are_not_pooled(make: Make, declared: Declarations) -> None:
    """If a cell has several classifiers, each of them has a separate row.

    The caption names the classifiers that are not the paper's.
    """
    rows = [
        trial(field="rffnet", init=init, classifier=classifier, test_accuracy=accuracy)
        for classifier, accuracy in (("gnn", 0.6), ("mlp", 0.8))
        for init in ("random", "shared")
    ]
    table = initialization(make(*rows), declared)
    assert table.column("classifier") == ["gnn", "mlp"]
    assert [mean.mean for mean in table.column("shared") if isinstance(mean, Mean)] == [0.6, 0.8]
    assert "mlp is not the paper's classifier" in table.caption
    assert "not the paper's" not in initialization(make(*rows[:2]), declared).caption
    siren = initialization(make(*({**row, "field": "siren", "cell": "mnist5k/siren"} for row in rows[:2])), declared)
    assert "classifier" not in [column.name for column in siren.columns]


def test_a_ladder_counts_once_in_a_gain(make: Make, declared: Declarations) -> None:
    """The interval of a gain is computed over ladders, because the rungs of a ladder share a fit.

    Repeating every rung with equal results leaves the interval unchanged.
    """

    def gain_of(steps: tuple[int, ...]) -> Mean:
        rows = [
            trial(init=init, hidden=hidden, steps=at, test_accuracy=base + gain * (init == "shared"))
            for init, base in (("random", 0.5), ("shared", 0.5))
            for hidden, gain in ((8, 0.1), (16, 0.2), (32, 0.3))
            for at in steps
        ]
        (gain,) = initialization(make(*rows), declared).column("gain.shared")
        assert isinstance(gain, Mean)
        return gain

    one, many = gain_of((5,)), gain_of((5, 25, 75, 200))
    assert one.n == many.n == 3
    assert (many.mean, many.half) == pytest.approx((one.mean, one.half))
    assert one.mean == pytest.approx(40)
    assert one.half == pytest.approx(4.3027 * 20 / 3**0.5, rel=1e-4)


def test_a_gain_over_a_negative_mean_keeps_its_sign(make: Make, declared: Declarations) -> None:
    """If the baseline mean is negative, as log-likelihoods can be, an increase still counts as a gain.

    Compared with -10, -8 is a gain of 20 % and -12 is a loss of 20 %.
    """
    for better, expected in ((-8.0, 20.0), (-12.0, -20.0)):
        rows = make(trial(init="random", test_accuracy=-10.0), trial(init="shared", test_accuracy=better))
        (gain,) = initialization(rows, declared).column("gain.shared")
        assert isinstance(gain, Mean)
        assert gain.mean == pytest.approx(expected)


def test_published_accuracies_are_not_shown_next_to_another_metric(make: Make) -> None:
    """A study of reconstruction quality has no column of published accuracies."""
    plan = cell_plan(cell="mnist5k/rffnet", objective={"metric": "all_psnr", "direction": "maximize"})
    table = initialization(make(trial(field="rffnet")), declarations({"cells": [plan]}))
    assert table.title == "PSNR by initialization"
    assert "paper" not in [column.name for column in table.columns]
    assert "Paper" not in table.caption


def test_trials_without_an_initialization_are_not_unfinished(make: Make, declared: Declarations) -> None:
    """If no trial has an initialization, the caption does not claim that no trial has finished."""
    table = initialization(make({**trial(), "init": None}), declared)
    assert table.caption == "No finished trial has an initialization and a result."
