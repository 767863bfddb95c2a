"""The tables say what the rows say, no more."""

import io
import json
import math
import statistics
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from nefstudy.ledger.rows import TrialRow, TrialState
from nefstudy.report import tables

Make = Callable[..., TrialRow]


def test_means_and_deviations_are_those_of_the_rows(study_rows: list[TrialRow]) -> None:
    """Each entry is the mean and sample deviation of exactly its own rows, by a second implementation."""
    table = tables.start_table(study_rows)
    assert [(line.signals, line.field) for line in table.lines] == [
        ("mnist5k", "siren"), ("mnist5k", "rffnet"), ("mnist5k", "mfn")
    ]  # fmt: skip
    for line in table.lines:
        for start, accuracy in line.starts.items():
            own = [row.test_accuracy for row in study_rows if (row.field, row.init) == (line.field, start)]
            assert accuracy.n == len(own) == 18
            assert accuracy.mean == pytest.approx(sum(own) / len(own))  # type: ignore[arg-type]  # none is None here
            assert accuracy.sd == pytest.approx(statistics.stdev(own))  # type: ignore[type-var]  # none is None here


@given(st.permutations(range(6)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_order_of_rows_does_not_matter(row: Make, order: list[int]) -> None:
    """Shuffled rows give the same table; a changed accuracy another (so the table is no constant)."""
    rows = [row(init=init, steps=n, test_accuracy=0.1 * n) for init in ("random", "shared") for n in (2, 3, 5)]
    table = tables.start_json(tables.start_table(rows))
    assert tables.start_json(tables.start_table([rows[i] for i in order])) == table
    rows[0] = replace(rows[0], test_accuracy=0.123)
    assert tables.start_json(tables.start_table(rows)) != table


def test_gain_is_the_published_one() -> None:
    """The gain's formula gives each of the paper's printed gains, as far as its rounded means allow."""
    for line in tables.PAPER_TABLE_4.values():
        low = tables.gain_percent(line.random.mean + 0.005, line.shared.mean - 0.005)
        high = tables.gain_percent(line.random.mean - 0.005, line.shared.mean + 0.005)
        assert low is not None
        assert high is not None
        assert low <= line.gain <= high


def test_a_gain_needs_both_starts(row: Make) -> None:
    """With one start only, or a random accuracy of 0, there is no gain to tell, and nothing divides by it."""
    assert tables.start_table([row(init="shared")]).lines[0].gain is None
    zero = tables.start_table([row(init="shared"), row(init="random", test_accuracy=0.0)])
    assert zero.lines[0].gain is None
    both = tables.start_table([row(init="shared", test_accuracy=0.9), row(init="random", test_accuracy=0.3)])
    assert both.lines[0].gain == pytest.approx(200)


def test_only_finished_trials_count(row: Make) -> None:
    """Failed, running and pruned trials, and accuracies that are none or NaN, leave the table as it was."""
    kept = [row(steps=5), row(steps=25)]
    others = [row(state=state, test_accuracy=0.0) for state in TrialState if state is not TrialState.COMPLETE]
    broken = [row(test_accuracy=None), row(test_accuracy=math.nan)]
    assert tables.start_table([*kept, *others, *broken]) == tables.start_table(kept)
    assert tables.start_table([*others, *broken]).lines == ()


def test_unmatched_settings_are_told(row: Make) -> None:
    """Means over different settings are starred; over the same settings they are not."""
    matched = [row(init=init, steps=steps) for init in ("random", "shared") for steps in (5, 25)]
    assert tables.start_table(matched).lines[0].balanced
    lopsided = tables.start_table([*matched, row(init="shared", steps=75)])
    assert (lopsided.lines[0].matched, lopsided.lines[0].balanced) == (2, False)
    assert "2/3*" in tables.start_markdown(lopsided)
    assert any("not comparable yet" in note for note in tables.start_notes(lopsided))


def test_every_rendering_carries_the_same_numbers(study_rows: list[TrialRow]) -> None:
    """Terminal, Markdown, CSV and JSON agree, and the terminal's fits 80 columns uncut."""
    table = tables.start_table(study_rows)
    console = Console(width=80, file=io.StringIO())
    with console.capture() as captured:
        console.print(tables.start_rich(table))
    told = captured.get()
    header, *body = tables.start_rows(table)
    assert json.loads(json.dumps(tables.start_json(table)))["rows"] == [
        dict(zip(header, line, strict=True)) for line in body
    ]
    for line in table.lines:
        for start in table.starts:
            assert str(line.starts[start]) in told
            assert str(line.starts[start]) in tables.start_markdown(table)
    assert "…" not in told
    assert "mnist5k/rffnet" in told
    assert "0.20 → 0.86" in told


def test_a_start_of_ones_own_has_its_column(row: Make) -> None:
    """Starts beyond the paper's two appear after them, in every rendering."""
    table = tables.start_table([row(init=init) for init in ("learned", "shared", "random")])
    assert table.starts == ("random", "shared", "learned")
    assert tables.start_cells(table)[0] == ["cell", "random", "shared", "learned", "gain %", "n", "paper"]
    assert {line[2] for line in tables.start_rows(table)[1:]} == {"random", "shared", "learned"}


def test_best_is_picked_by_validation(row: Make) -> None:
    """The best of a cell has the highest validation accuracy, whatever its test accuracy; ties by key."""
    rows = [
        row(key="b", val_accuracy=0.9, test_accuracy=0.1),
        row(key="a", val_accuracy=0.9, test_accuracy=0.2),
        row(key="c", val_accuracy=0.8, test_accuracy=0.99),
        row(key="d", val_accuracy=None, test_accuracy=0.99),
        row(key="e", val_accuracy=0.7, phase="phase1"),
    ]
    assert [(best.phase, best.key) for best in tables.best_table(rows)] == [("phase1", "e"), ("phase2", "a")]
    assert tables.best_table(rows[::-1]) == tables.best_table(rows)
