"""Laws of failures: each cause has its rule, and a rule ends neither more nor less than it says."""

from dataclasses import replace
from functools import partial

import pytest

from nefstudy.ledger import TrialState
from nefstudy.study.plan import StudyPlan, listed_trials
from nefstudy.study.rules import RULES, message_class


@pytest.fixture
def plan(small_grid) -> StudyPlan:
    """Two cells of twelve points each."""
    other = replace(small_grid, field="mfn", fixed={"lr": 1e-3, "filters": 1})
    return StudyPlan(study="s", cells=(small_grid, other))


class Clock:
    """A clock that a test turns."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The clock of a test's runs."""
    return Clock()


@pytest.fixture
def open_run(open_run, clock):
    """Runs that keep their pauses by the test's clock."""
    return partial(open_run, clock=clock)


@pytest.fixture
def fail(result, clock):
    """Run everything, letting trials that a function gives (cause, error) for fail; the halvings of each attempt."""

    def run_all(run, why) -> dict[str, list[int]]:
        halvings: dict[str, list[int]] = {}
        while (suggestion := run.next("t")) is not None or not (run.exhausted or run.halted):
            if suggestion is None:  # all that is left waits out a pause
                clock.now += 1.0
                continue
            run.started("t")
            halvings.setdefault(suggestion.trial.key, []).append(run.under_way["t"].halvings)
            failure = why(suggestion)
            if failure is None:
                run.completed("t", result(0.5))
            else:
                run.failed("t", cause=failure[0], error=failure[1])
        return halvings

    return run_all


def rows_of(ledger, state) -> list:
    return [row for row in ledger.trials.page("s", limit=None).rows if row.state is state]


@pytest.mark.parametrize("cause", RULES)
def test_a_trial_is_tried_as_often_as_its_rule_says(ledger, plan, open_run, fail, cause):
    """One trial that always fails: its attempts, then FAILED with the cause; what was put back is counted."""
    attempts = RULES[cause].attempts
    poison = next(listed_trials(plan, plan.cells[0])).key
    run = open_run(ledger, plan)
    halvings = fail(run, lambda s: (cause, "it failed") if s.trial.key == poison else None)
    (row,) = rows_of(ledger, TrialState.FAILED)
    assert (row.key, row.cause, row.attempt) == (poison, cause, attempts)
    assert halvings[poison] == (list(range(attempts)) if RULES[cause].halves else [0] * attempts)
    place = ("phase2", row.cell, cause)
    assert ledger.trials.retries("s") == ({place: attempts - 1} if attempts > 1 else {})
    assert ledger.trials.causes("s") == {place: 1}


def test_a_trial_that_succeeds_at_last_is_complete(ledger, plan, open_run, fail):
    """Workers lost once for every trial: all complete as attempt 2, and the study never stops for it."""
    seen = set()

    def once(suggestion):
        first = suggestion.trial.key not in seen
        seen.add(suggestion.trial.key)
        return ("worker_lost", "gone") if first else None

    run = open_run(ledger, plan)
    fail(run, once)
    assert run.halted is None
    assert {row.attempt for row in rows_of(ledger, TrialState.COMPLETE)} == {2}
    assert len(rows_of(ledger, TrialState.COMPLETE)) == 24


def test_bad_data_stops_its_cell_alone_until_the_next_run(ledger, plan, open_run, fail):
    """The other cell completes; the reason is in the ledger; a later run tries the whole cell again."""
    run = open_run(ledger, plan)
    fail(run, lambda s: ("bad_data", "file x is torn") if s.cell == "digits8/mfn" else None)
    assert run.exhausted
    assert ledger.studies.stopped_cells("s") == {("phase2", "digits8/mfn"): "bad_data: file x is torn"}
    assert len(rows_of(ledger, TrialState.FAILED)) == 1
    assert {row.cell for row in rows_of(ledger, TrialState.COMPLETE)} == {"digits8/siren"}
    ledger.leases.release(run.lease)
    again = open_run(ledger, plan)
    assert ledger.studies.stopped_cells("s") == {}
    fail(again, lambda _: None)
    assert len(rows_of(ledger, TrialState.COMPLETE)) == 24


def test_equal_bugs_stop_the_study_and_different_ones_do_not(ledger, plan, open_run, fail):
    """After N failures that differ by numbers only nothing more is handed out; other messages do not add up."""
    run = open_run(ledger, plan)
    fail(run, lambda s: ("bug", f"KeyError: no {chr(97 + int(s.trial.key, 16) % 2)} at 0x{s.trial.key}"))
    assert "trials failed alike (bug: KeyError: no " in run.halted
    assert not run.exhausted
    failed = [row.error for row in rows_of(ledger, TrialState.FAILED)]
    assert 5 <= len(failed) <= 9
    assert max(sum(f"no {letter}" in error for error in failed) for letter in "ab") == 5


def test_lost_workers_stop_the_study_only_in_a_row(ledger, plan, open_run, fail):
    """Every second trial loses its workers for good: the study ends all the same; when all do, it stops."""
    run = open_run(ledger, plan)
    order: dict[str, int] = {}
    fail(run, lambda s: ("worker_lost", "gone") if order.setdefault(s.trial.key, len(order)) % 2 else None)
    assert run.exhausted
    assert run.halted is None
    assert len(rows_of(ledger, TrialState.FAILED)) == 12
    ledger.leases.release(run.lease)
    run = open_run(ledger, replace(plan, seed=1))
    fail(run, lambda _: ("worker_lost", "gone"))
    assert "5 trials failed alike" in run.halted


def test_divergence_never_stops_anything(ledger, plan, open_run, fail):
    """A whole study may diverge: that is what it found."""
    run = open_run(ledger, plan)
    fail(run, lambda _: ("diverged", "all fields diverged"))
    assert run.exhausted
    assert len(rows_of(ledger, TrialState.FAILED)) == 24


def test_numbers_and_digests_do_not_tell_messages_apart():
    """What varies from trial to trial is left out of a message's class; words and causes are not."""
    assert message_class("bug", "E: shape (3, 4) at 0x7f2a\nmore") == message_class(
        "bug", "E: shape (12, -1e-3) at 0x1"
    )
    assert message_class("bug", "E: a") != message_class("bug", "E: b")
    assert message_class("bug", "E: a") != message_class("disk", "E: a")


MACHINE = ("machine", "OSError: [Errno 5] Input/output error")


def test_a_retry_waits_out_a_pause_that_grows_while_others_run(ledger, plan, open_run, result, clock):
    """Of one failing trial and many sound ones, the sound ones use the time; each pause is twice the last."""
    run = open_run(ledger, plan)
    poison = run.next("t").trial.key
    pauses, others = [], 0
    run.failed("t", cause=MACHINE[0], error=MACHINE[1])
    failed_at = clock.now
    while (suggestion := run.next("t")) is not None or not run.exhausted:
        if suggestion is None:
            clock.now += 0.5
        elif suggestion.trial.key == poison:
            pauses.append(clock.now - failed_at)
            run.failed("t", cause=MACHINE[0], error=MACHINE[1])
            failed_at = clock.now
        else:
            others += not pauses
            run.completed("t", result(0.5))
    assert others == 23, "or it was in the way"
    assert pauses == [5.0, 10.0, 20.0, 40.0, 80.0, 160.0]
    (row,) = rows_of(ledger, TrialState.FAILED)
    assert (row.key, row.cause, row.attempt) == (poison, "machine", 7)


def test_what_waits_for_its_retry_is_not_done(ledger, plan, open_run, fail, clock):
    """A run whose last trial waits is not exhausted; it ends with that trial, and the next run retries it."""
    run = open_run(ledger, plan)
    fail(run, lambda _: None)
    ledger.leases.release(run.lease)
    run = open_run(ledger, replace(plan, seed=1))
    last = [run.next(f"t{i}") for i in range(24)][-1]
    run.failed("t23", cause=MACHINE[0], error=MACHINE[1])
    assert run.next("u") is None
    assert not run.exhausted
    clock.now += 5
    assert run.next("u") == last


def test_a_machine_that_fails_every_trial_is_asked_now_and_then(ledger, plan, open_run, fail, clock):
    """No trial after trial is begun in vain: of 24 five fail, wait and stop the study; the next run does all."""
    run = open_run(ledger, plan)
    fail(run, lambda _: MACHINE)
    assert "5 trials failed alike (machine: " in run.halted
    assert clock.now == pytest.approx(315, abs=15)
    assert len(ledger.trials.page("s", limit=None).rows) == 5
    ledger.leases.release(run.lease)
    again = open_run(ledger, plan)
    fail(again, lambda _: None)
    assert len(rows_of(ledger, TrialState.COMPLETE)) == 24


def test_after_an_outage_all_are_complete(ledger, plan, open_run, fail, clock):
    """Two minutes in which every trial fails cost attempts and no trial."""
    run = open_run(ledger, plan)
    fail(run, lambda _: MACHINE if clock.now < 120 else None)
    assert run.halted is None
    assert len(rows_of(ledger, TrialState.COMPLETE)) == 24
