"""A study over time: counts and the best so far in equal spans."""

from hypothesis import given
from hypothesis import strategies as st

from nefstudy.service.timeline import SPANS, timeline

from .conftest import STUDY

ENDS = st.lists(st.tuples(st.floats(0, 1e6), st.none() | st.floats(0, 1)), min_size=1, max_size=200)


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


def test_a_trial_falls_into_the_span_it_ended_in():
    """Two bursts an hour apart are two bars with nothing between them."""
    found = timeline([0.0, 1.0, 3600.0], [0.5, 0.6, 0.4])
    assert found.ended[0] == 2
    assert found.ended[-1] == 1
    assert set(found.ended[1:-1]) == {0}
    assert (found.best[0], found.best[-1]) == (0.6, 0.6)


def test_the_service_answers_with_the_ledgers_trials(client):
    """Sixteen complete trials are sixteen ends."""
    found = client.get(f"/v1/studies/{STUDY}/timeline").json()
    assert sum(found["ended"]) == 16
    assert found["best"][-1] > 0.9


def test_nothing_ended_is_no_span():
    """Before the first trial there are no bars."""
    assert timeline([], []).ended == []
