"""Tests of failures: the rule for each cause determines what is retried and what is stopped."""

from dataclasses import replace
from functools import partial

import pytest

from nefstudy.ledger import TrialState
from nefstudy.study.driver.rules import RULES, message_class
from nefstudy.study.plan.study_plan import StudyPlan

from ...classification import all_trials


@pytest.fixture
def plan(small_grid) -> StudyPlan:
    """Return a plan of two cells with twelve points each."""
    other = replace(small_grid, field="mfn", fixed={"lr": 1e-3, "filters": 1})
    return StudyPlan(study="s", cells=(small_grid, other))


class Clock:
    """A clock that tests can set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Return the clock that all runs of a test use."""
    return Clock()


@pytest.fixture
def open_run(open_run, clock):
    """Return the fixture `open_run`, changed so that its runs use the test's clock."""
    return partial(open_run, clock=clock)


@pytest.fixture
def fail(result, clock):
    """Return a function that runs all trials and fails those for which `why` returns a failure.

    The function returns how often each attempt's chunk was halved, keyed by trial.
    """

    def run_all(run, why) -> dict[str, list[int]]:
        halvings: dict[str, list[int]] = {}
        while (suggestion := run.next("t")) is not None or not (run.exhausted or run.abort_reason):
            if suggestion is None:  # all remaining trials are in a pause
                clock.now += 1.0
                continue
            run.started("t")
            halvings.setdefault(suggestion.trial.key, []).append(run.in_flight["t"].chunk_halvings)
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
    """A trial that always fails is attempted as often as the rule of its cause allows."""
    attempts = RULES[cause].attempts
    poison = all_trials(plan, plan.cells[0])[0].key
    run = open_run(ledger, plan)
    halvings = fail(run, lambda s: (cause, "it failed") if s.trial.key == poison else None)
    (row,) = rows_of(ledger, TrialState.FAILED)
    assert (row.key, row.cause, row.attempt) == (poison, cause, attempts)
    assert halvings[poison] == (list(range(attempts)) if RULES[cause].halves_chunk else [0] * attempts)
    group = ("phase2", row.cell, cause)
    assert ledger.trials.retries("s") == ({group: attempts - 1} if attempts > 1 else {})
    assert ledger.trials.causes("s") == {group: 1}


def test_a_trial_that_succeeds_at_last_is_complete(ledger, plan, open_run, fail):
    """If every trial loses its worker once, all trials complete on their second attempt."""
    seen = set()

    def once(suggestion):
        first = suggestion.trial.key not in seen
        seen.add(suggestion.trial.key)
        return ("worker_lost", "gone") if first else None

    run = open_run(ledger, plan)
    fail(run, once)
    assert run.abort_reason is None
    assert {row.attempt for row in rows_of(ledger, TrialState.COMPLETE)} == {2}
    assert len(rows_of(ledger, TrialState.COMPLETE)) == 24


def test_bad_data_stops_its_cell_alone_until_the_next_run(ledger, plan, open_run, fail):
    """Bad data stops only the cell that reads it, and only until the next run."""
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


def test_equal_bugs_abort_the_study_and_different_ones_do_not(ledger, plan, open_run, fail):
    """Five equal failures abort the study, and only failures with the same message count as equal.

    Numbers in a message are ignored.
    """
    run = open_run(ledger, plan)
    fail(run, lambda s: ("bug", f"KeyError: no {chr(97 + int(s.trial.key, 16) % 2)} at 0x{s.trial.key}"))
    assert "trials failed the same way (bug: KeyError: no " in run.abort_reason
    assert not run.exhausted
    failed = [row.error for row in rows_of(ledger, TrialState.FAILED)]
    assert 5 <= len(failed) <= 9
    assert max(sum(f"no {letter}" in error for error in failed) for letter in "ab") == 5


def test_lost_workers_abort_the_study_only_in_a_row(ledger, plan, open_run, fail):
    """Lost workers abort the study only if several trials in a row lose their workers."""
    run = open_run(ledger, plan)
    order: dict[str, int] = {}
    fail(run, lambda s: ("worker_lost", "gone") if order.setdefault(s.trial.key, len(order)) % 2 else None)
    assert run.exhausted
    assert run.abort_reason is None
    assert len(rows_of(ledger, TrialState.FAILED)) == 12
    ledger.leases.release(run.lease)
    run = open_run(ledger, replace(plan, seed=1))
    fail(run, lambda _: ("worker_lost", "gone"))
    assert "5 trials failed the same way" in run.abort_reason


def test_divergence_never_aborts_a_study(ledger, plan, open_run, fail):
    """A study is not aborted even if all trials diverge, because divergence is a result."""
    run = open_run(ledger, plan)
    fail(run, lambda _: ("diverged", "all fields diverged"))
    assert run.exhausted
    assert len(rows_of(ledger, TrialState.FAILED)) == 24


def test_numbers_and_digests_do_not_change_the_class_of_a_message():
    """Failures whose messages differ only in numbers or digests count as equal."""
    assert message_class("bug", "E: shape (3, 4) at 0x7f2a\nmore") == message_class(
        "bug", "E: shape (12, -1e-3) at 0x1"
    )
    assert message_class("bug", "E: a") != message_class("bug", "E: b")
    assert message_class("bug", "E: a") != message_class("disk", "E: a")


MACHINE = ("machine", "OSError: [Errno 5] Input/output error")


def test_a_retry_waits_out_a_pause_that_grows_while_others_run(ledger, plan, open_run, result, clock):
    """Other trials run while a failed trial waits for its retry.

    Each pause is twice as long as the previous one.
    """
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
    assert others == 23, "the paused trial delays no other"
    assert pauses == [5.0, 10.0, 20.0, 40.0, 80.0, 160.0]
    (row,) = rows_of(ledger, TrialState.FAILED)
    assert (row.key, row.cause, row.attempt) == (poison, "machine", 7)


def test_a_run_with_a_paused_retry_is_not_exhausted(ledger, plan, open_run, fail, clock):
    """A run whose last trial waits for a retry is not exhausted and retries the trial after the pause."""
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


def test_a_machine_that_fails_every_trial_is_retried_with_pauses(ledger, plan, open_run, fail, clock):
    """If every trial fails because of the machine, the study is aborted after 5 of 24 trials.

    The next run completes all of them.
    """
    run = open_run(ledger, plan)
    fail(run, lambda _: MACHINE)
    assert "5 trials failed the same way (machine: " in run.abort_reason
    assert clock.now == pytest.approx(315, abs=15)
    assert len(ledger.trials.page("s", limit=None).rows) == 5
    ledger.leases.release(run.lease)
    again = open_run(ledger, plan)
    fail(again, lambda _: None)
    assert len(rows_of(ledger, TrialState.COMPLETE)) == 24


def test_after_an_outage_all_are_complete(ledger, plan, open_run, fail, clock):
    """If every attempt fails during an outage of two minutes, all trials are completed after the outage."""
    run = open_run(ledger, plan)
    fail(run, lambda _: MACHINE if clock.now < 120 else None)
    assert run.abort_reason is None
    assert len(rows_of(ledger, TrialState.COMPLETE)) == 24
