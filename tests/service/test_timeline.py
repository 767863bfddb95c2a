"""A study over time: counts and the best so far in equal spans of the clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nefstudy.service.timeline import LEAST_ENDED, SPANS, WIDTHS, timeline

from .conftest import STUDY

ENDS = st.lists(st.tuples(st.floats(0, 1e9), st.none() | st.floats(0, 1)), min_size=1, max_size=200)
HOUR = 3600.0


@given(ENDS)
def test_every_end_is_counted_once_and_the_best_only_grows(ends):
    """The counts add up to the trials; the best never falls and ends at the highest score there is."""
    found = timeline([end for end, _ in ends], [score for _, score in ends])
    assert sum(found.ended) == len(ends)
    assert len(found.ended) == len(found.best) <= SPANS
    known = [value for value in found.best if value is not None]
    assert known == sorted(known)
    scores = [score for _, score in ends if score is not None]
    assert found.best[-1] == (max(scores) if scores else None)
    assert found.rose_s == sorted(found.rose_s)
    assert found.rose_to == sorted(set(found.rose_to))
    assert found.rose_to[-1:] == sorted(scores)[-1:]


@given(ENDS)
def test_spans_are_round_times_of_the_clock(ends):
    """A span lasts a minute at least and starts at a multiple of its length; the first and the last hold a trial."""
    found = timeline([end for end, _ in ends], [score for _, score in ends])
    assert found.width_s in WIDTHS or found.width_s % WIDTHS[-1] == 0
    assert found.width_s >= 60
    assert found.from_s % found.width_s == 0
    assert found.ended[0] * found.ended[-1] > 0
    assert found.from_s + (len(found.ended) - 1) * found.width_s <= found.last_s == max(end for end, _ in ends)


STEADY = [(14, 5, 60), (60, 240, 60), (48, 86_000, 2 * HOUR), (336, 600_000, 3 * HOUR), (30_000, 864_000, 6 * HOUR)]


@pytest.mark.parametrize(("trials", "seconds", "width"), STEADY)
def test_a_span_holds_enough_trials_to_tell_a_pace(trials, seconds, width):
    """Seconds after its start a study has one bar and no spikes; a steady one's bars differ by one trial."""
    ends = [86_400 * 10_000 + (i + 0.5) * seconds / trials for i in range(trials)]
    found = timeline(ends, [None] * trials)
    assert found.width_s == width
    assert max(found.ended[1:-1], default=0) - min(found.ended[1:-1], default=0) <= 1
    assert sum(found.ended) / len(found.ended) >= LEAST_ENDED


def test_a_trial_falls_into_the_span_it_ended_in():
    """Two bursts an hour apart are two bars with nothing between them."""
    found = timeline([1.0] * 50 + [HOUR + 1] * 30, [0.5] * 79 + [0.6])
    assert (found.ended[0], found.ended[-1]) == (50, 30)
    assert len(found.ended) > 2
    assert set(found.ended[1:-1]) == {0}
    assert (found.best[0], found.best[-1]) == (0.5, 0.6)
    assert (found.rose_s, found.rose_to) == ([1.0, HOUR + 1], [0.5, 0.6])


def test_the_service_answers_with_the_ledgers_trials(client):
    """Sixteen complete trials are sixteen ends."""
    found = client.get(f"/v1/studies/{STUDY}/timeline").json()
    assert sum(found["ended"]) == 16
    assert found["best"][-1] > 0.9


def test_nothing_ended_is_no_span():
    """Before the first trial there are no bars."""
    assert timeline([], []).ended == []
