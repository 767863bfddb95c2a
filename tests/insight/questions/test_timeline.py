"""Tests of the figures over time, which show trials per time span and the best score so far."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nefstudy.insight.declared import Declarations, Declared
from nefstudy.insight.questions.timeline import MAX_SPANS, MIN_ENDED, WIDTHS, best_over_time, pace_figure, spans
from nefstudy.insight.trials import TrialColumns

ENDS = st.lists(st.floats(0, 1e9), min_size=1, max_size=200)
SCORED = st.lists(st.tuples(st.floats(0, 1e9), st.none() | st.floats(0, 1)), min_size=1, max_size=200)
HOUR = 3600.0


@given(ENDS)
def test_every_end_is_counted_once(ends: list[float]) -> None:
    """Each trial is counted in exactly one of at most 60 time spans."""
    found = spans(ends)
    assert sum(found.ended) == len(ends)
    assert len(found.ended) <= MAX_SPANS


@given(SCORED, st.sampled_from(["maximize", "minimize"]))
def test_the_best_only_improves(scored: list[tuple[float, float | None]], direction: str) -> None:
    """The best score so far only improves, and its last value is the best score of all trials."""
    own = Declared("p", "c", "score", direction)  # type: ignore[arg-type]  # one of the two
    columns: dict[str, list[Any]] = {"ended_at": [end for end, _ in scored], "score": [score for _, score in scored],
                                     "key": [str(i) for i in range(len(scored))]}  # fmt: skip
    step = best_over_time(TrialColumns(columns), own).of_kind("step")
    assert step is not None
    values, known = list(step.columns["y"]), [score for _, score in scored if score is not None]
    rises = values[:-1]
    assert rises == sorted(set(rises), reverse=direction == "minimize")
    assert values[-1:] == ([min(known) if direction == "minimize" else max(known)] if known else [])
    assert list(step.columns["x"]) == sorted(step.columns["x"])


@given(ENDS)
def test_spans_have_round_widths(ends: list[float]) -> None:
    """Time spans have a round width of at least 60 s and start at multiples of that width.

    The first and the last span are not empty.
    """
    found = spans(ends)
    assert found.width_s in WIDTHS or found.width_s % WIDTHS[-1] == 0
    assert found.width_s >= 60
    assert found.from_s % found.width_s == 0
    assert found.ended[0] * found.ended[-1] > 0
    assert found.from_s + (len(found.ended) - 1) * found.width_s <= max(ends)


STEADY = [(14, 5, 60), (60, 240, 60), (48, 86_000, 2 * HOUR), (336, 600_000, 3 * HOUR), (30_000, 864_000, 6 * HOUR)]


@pytest.mark.parametrize(("trials", "seconds", "width"), STEADY)
def test_a_span_holds_enough_trials_to_show_a_pace(trials: int, seconds: float, width: float) -> None:
    """On average, a time span holds at least `MIN_ENDED` trials.

    If trials end at a steady rate, the counts differ by at most one.
    """
    found = spans([86_400 * 10_000 + (i + 0.5) * seconds / trials for i in range(trials)])
    assert found.width_s == width
    assert max(found.ended[1:-1], default=0) - min(found.ended[1:-1], default=0) <= 1
    assert sum(found.ended) / len(found.ended) >= MIN_ENDED


def test_trials_count_in_the_span_of_their_end() -> None:
    """Two bursts of trials an hour apart are counted in two spans with empty spans between them."""
    found = spans([1.0] * 50 + [HOUR + 1] * 30)
    assert (found.ended[0], found.ended[-1]) == (50, 30)
    assert len(found.ended) > 2
    assert set(found.ended[1:-1]) == {0}


def test_bars_are_trials_per_minute() -> None:
    """The height of a bar is its number of trials per minute.

    Without trials, the caption states that there are none.
    """
    figure = pace_figure(TrialColumns({"ended_at": [1.0, 2.0, 3.0]}))
    assert figure.caption == "3 complete trials in 1-minute intervals; peak rate 3 per minute."
    bar = figure.of_kind("bar")
    assert bar is not None
    assert (list(bar.columns["y"]), list(bar.columns["ended"])) == ([3.0], [3])
    assert pace_figure(TrialColumns({"ended_at": [1.0]})).caption.startswith("1 complete trial in ")
    assert pace_figure(TrialColumns({"ended_at": []})).caption == "No trial has completed yet."
    assert (
        best_over_time(TrialColumns({"ended_at": []}), Declarations({}).of(None, None)).caption
        == "No trial has a result yet."
    )
