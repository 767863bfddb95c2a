"""A study over time: counts and the best so far in equal spans of the clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nefstudy.insight.declared import Declarations, Declared
from nefstudy.insight.timeline import LEAST_ENDED, SPANS, WIDTHS, best_over_time, pace_figure, spans
from nefstudy.insight.trials import Trials

ENDS = st.lists(st.floats(0, 1e9), min_size=1, max_size=200)
SCORED = st.lists(st.tuples(st.floats(0, 1e9), st.none() | st.floats(0, 1)), min_size=1, max_size=200)
HOUR = 3600.0


@given(ENDS)
def test_every_end_is_counted_once(ends: list[float]) -> None:
    """The counts of at most sixty spans add up to the trials."""
    found = spans(ends)
    assert sum(found.ended) == len(ends)
    assert len(found.ended) <= SPANS


@given(SCORED, st.sampled_from(["maximize", "minimize"]))
def test_the_best_only_improves(scored: list[tuple[float, float | None]], direction: str) -> None:
    """Each step is better than the one before, in the objective's direction, and the last is the best there is."""
    own = Declared("p", "c", "score", direction)  # type: ignore[arg-type]  # one of the two
    columns = {"ended_at": [end for end, _ in scored], "score": [score for _, score in scored],
               "key": [str(i) for i in range(len(scored))]}  # fmt: skip
    step = best_over_time(Trials(columns), own).of_kind("step")
    assert step is not None
    values, known = list(step.columns["y"]), [score for _, score in scored if score is not None]
    rises = values[:-1]
    assert rises == sorted(set(rises), reverse=direction == "minimize")
    assert values[-1:] == ([min(known) if direction == "minimize" else max(known)] if known else [])
    assert list(step.columns["x"]) == sorted(step.columns["x"])


@given(ENDS)
def test_spans_are_round_times_of_the_clock(ends: list[float]) -> None:
    """A span lasts a minute at least and starts at a multiple of its length; the first and the last hold a trial."""
    found = spans(ends)
    assert found.width_s in WIDTHS or found.width_s % WIDTHS[-1] == 0
    assert found.width_s >= 60
    assert found.from_s % found.width_s == 0
    assert found.ended[0] * found.ended[-1] > 0
    assert found.from_s + (len(found.ended) - 1) * found.width_s <= max(ends)


STEADY = [(14, 5, 60), (60, 240, 60), (48, 86_000, 2 * HOUR), (336, 600_000, 3 * HOUR), (30_000, 864_000, 6 * HOUR)]


@pytest.mark.parametrize(("trials", "seconds", "width"), STEADY)
def test_a_span_holds_enough_trials_to_show_a_pace(trials: int, seconds: float, width: float) -> None:
    """Seconds after its start a study has one bar and no spikes; a steady one's bars differ by one trial."""
    found = spans([86_400 * 10_000 + (i + 0.5) * seconds / trials for i in range(trials)])
    assert found.width_s == width
    assert max(found.ended[1:-1], default=0) - min(found.ended[1:-1], default=0) <= 1
    assert sum(found.ended) / len(found.ended) >= LEAST_ENDED


def test_a_trial_falls_into_the_span_it_ended_in() -> None:
    """Two bursts an hour apart are two bars with nothing between them."""
    found = spans([1.0] * 50 + [HOUR + 1] * 30)
    assert (found.ended[0], found.ended[-1]) == (50, 30)
    assert len(found.ended) > 2
    assert set(found.ended[1:-1]) == {0}


def test_bars_are_rates_over_the_clock() -> None:
    """A bar's height is its trials a minute; before the first trial there are no bars, and words."""
    bar = pace_figure(Trials({"ended_at": [1.0, 2.0, 3.0]})).of_kind("bar")
    assert bar is not None
    assert (list(bar.columns["y"]), list(bar.columns["ended"])) == ([3.0], [3])
    assert pace_figure(Trials({"ended_at": []})).caption == "No trial has completed yet."
    assert (
        best_over_time(Trials({"ended_at": []}), Declarations({}).of(None, None)).caption
        == "No trial has a result yet."
    )
