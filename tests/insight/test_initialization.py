"""The table by initialization holds the rows' means, gains over matched settings, and the published rows."""

import statistics
from collections.abc import Callable

import pytest

from nefstudy.insight.declared import Declarations, declarations
from nefstudy.insight.initialization import initialization, last_phase
from nefstudy.insight.published import PAPER_TABLE_4
from nefstudy.insight.table import Mean
from nefstudy.insight.trials import Trials

from .conftest import cell_plan, trial

Make = Callable[..., Trials]


def test_means_and_deviations_are_those_of_the_rows(study: Trials, declared: Declarations) -> None:
    """Each entry is the mean and sample deviation of exactly its own trials, by a second implementation."""
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


def test_the_order_of_trials_does_not_matter(study: Trials, declared: Declarations) -> None:
    """Reversed trials give the same table; a changed accuracy another, so the table is not a constant."""
    table = initialization(study, declared)
    turned = initialization(study.at(range(len(study) - 1, -1, -1)), declared)
    assert [row[0] for row in turned.rows] == [row[0] for row in table.rows]
    assert turned.flat()[1][1:4] == pytest.approx(table.flat()[1][1:4])
    changed = Trials({**study.columns, "test_accuracy": [0.123, *study["test_accuracy"][1:]]})
    assert initialization(changed, declared).rows != table.rows


def test_the_gain_is_the_published_one(make: Make, declared: Declarations) -> None:
    """The gain's formula gives each of the paper's printed gains, as far as its rounded means allow."""
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
    """A setting that one initialization lacks changes its mean but no gain, and is marked."""
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
    """Without random fields, without a matched setting, or with a random mean of 0, there is no gain."""
    assert "gain.shared" not in [c.name for c in initialization(make(trial()), declared).columns]
    zero = make(trial(init="random", test_accuracy=0.0), trial())
    assert initialization(zero, declared).column("gain.shared") == [None]
    unmatched = make(trial(init="random", steps=5), trial(steps=25))
    assert initialization(unmatched, declared).column("gain.shared") == [None]


def test_any_initialization_has_its_column_and_gain(make: Make, declared: Declarations) -> None:
    """Initializations beyond the paper's two come after them, each with its gain over random."""
    rows = make(*(trial(init=init, test_accuracy=value) for init, value in
                  (("mean", 0.5), ("shared", 0.8), ("random", 0.4))))  # fmt: skip
    table = initialization(rows, declared)
    assert [column.name for column in table.shown()] == [
        "cell", "random", "shared", "mean", "gain.shared", "gain.mean", "n"
    ]  # fmt: skip
    gains = [table.column(name)[0] for name in ("gain.shared", "gain.mean")]
    assert [gain.mean for gain in gains if isinstance(gain, Mean)] == pytest.approx([100, 25])


def test_a_minimized_metric_gains_by_falling(make: Make, minimized: Declarations) -> None:
    """Half the loss is a gain of 50 %, and the table shows the test loss, not an accuracy."""
    rows = make(trial(init="random", val_loss=1.0, test_loss=2.0), trial(val_loss=0.5, test_loss=1.0))
    table = initialization(rows, minimized)
    (gain,) = table.column("gain.shared")
    assert isinstance(gain, Mean)
    assert gain.mean == pytest.approx(50)
    assert table.title == "Test loss by initialization"


def test_the_last_phase_with_a_result_is_shown(make: Make) -> None:
    """Phases are not pooled: the later one as soon as it has a result, the earlier one until then."""
    declared = declarations({"cells": [cell_plan("phase1"), cell_plan("phase2")]})
    first = [trial(phase="phase1", init=init) for init in ("random", "shared")]
    pending = trial(test_accuracy=None)
    assert initialization(make(*first, pending), declared).of == 2
    assert last_phase(make(*first, pending), declared) == "phase1"
    assert last_phase(make(*first, trial()), declared) == "phase2"
    assert initialization(make(), declared).caption == "No finished trial yet."


def test_published_rows_stand_next_to_ours(make: Make, declared: Declarations) -> None:
    """A subset of a paper's data set with the paper's field has the paper's numbers, SIREN has none."""
    rows = make(trial(field="rffnet"), trial(field="siren"))
    table = initialization(rows, declared)
    shown = dict(zip(table.column("cell"), table.column("paper"), strict=True))
    assert shown == {"mnist5k/rffnet": "0.20 → 0.86", "mnist5k/siren": "–"}
    header, *body = table.flat()
    line = dict(zip(header, body[1], strict=True))
    assert (line["paper.random.n"], line["paper.random.sd"], line["paper.gain"]) == (30, 0.09, 327.10)
