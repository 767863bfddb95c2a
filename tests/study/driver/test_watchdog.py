"""Tests of the watchdog: a trial's running time is counted from its start, and its silence from its last report."""

import time

import pytest

from nefstudy.insight.status import status
from nefstudy.ledger import TrialState
from nefstudy.service.status_table import status_tables
from nefstudy.study.driver.live import _trial_text
from nefstudy.study.driver.watchdog import Watchdog
from nefstudy.study.plan.study_plan import StudyPlan
from nefstudy.tasks.progress import TrialProgress


@pytest.fixture
def clock():
    """Return a clock that tests can set."""
    return {"now": 0.0}


def test_a_trial_that_runs_too_long_fails_once_and_its_worker_is_killed(ledger, small_grid, open_run, clock, result):
    """A trial that runs too long fails without a retry, and other trials continue.

    Time before the start of a trial does not count.
    """
    run = open_run(ledger, StudyPlan(study="s", cells=(small_grid,)))
    watchdog = Watchdog(run, max_hours=2.0, clock=lambda: clock["now"])
    slow, waiting = run.next("slow"), run.next("waiting")
    clock["now"] = 10_000.0
    watchdog.step()
    run.started("slow")
    watchdog.step()
    clock["now"] += 7200.0
    watchdog.step()
    assert not run.abandoned, "two hours are allowed"
    clock["now"] += 1.0
    watchdog.step()
    assert run.abandoned == {"slow"}
    assert set(run.in_flight) == {"waiting"}
    run.completed("slow", result(0.5))
    row = ledger.trials.get(slow.trial.key, study="s")
    assert (row.state, row.cause, row.attempt) == (TrialState.FAILED, "timeout", 1)
    assert row.error == "ran longer than 2 h (--max-trial-hours) and was killed; allow more, then retry"
    assert ledger.trials.get(waiting.trial.key, study="s").state is TrialState.REQUESTED


def test_without_a_limit_nothing_times_out(ledger, small_grid, open_run, clock):
    """With `max_hours=None` a trial may run for any length of time."""
    run = open_run(ledger, StudyPlan(study="s", cells=(small_grid,)))
    watchdog = Watchdog(run, max_hours=None, clock=lambda: clock["now"])
    run.next("a")
    run.started("a")
    watchdog.step()
    clock["now"] = 1e9
    watchdog.step()
    assert set(run.in_flight) == {"a"}


def test_silence_counts_from_the_last_report(ledger, small_grid, open_run, clock):
    """A trial's silence is counted from its last report, or from its start if it has not reported yet."""
    run = open_run(ledger, StudyPlan(study="s", cells=(small_grid,)))
    watchdog = Watchdog(run, max_hours=None, clock=lambda: clock["now"])
    run.next("a")
    run.started("a")
    silences = []
    for now, reports in ((0.0, False), (400.0, False), (500.0, True), (900.0, False)):
        clock["now"] = now
        if reports:
            run.progressed("a", TrialProgress("fitting", 1, 2, now))
        watchdog.step()
        silences.append(run.in_flight["a"].silent_s)
    assert silences == [0.0, 400.0, 0.0, 400.0]


def test_silence_is_shown_in_every_view(ledger, small_grid, open_run, clock):
    """Five minutes after a trial's last report, the live view, `status` and REST show the trial as silent."""
    run = open_run(ledger, StudyPlan(study="s", cells=(small_grid,)))
    watchdog = Watchdog(run, max_hours=None, clock=lambda: clock["now"])
    key = run.next("a").trial.key
    run.started("a")
    watchdog.step()
    clock["now"] = 299.0
    watchdog.step()
    assert status(ledger).studies[0].silent == []
    clock["now"] = 720.0
    watchdog.step()
    (study,) = status(ledger).studies
    (silent,) = study.silent
    assert (silent.phase, silent.cell, silent.key) == ("phase2", "digits8/siren", key)
    assert silent.since == pytest.approx(time.time() - 720, abs=60)
    assert "no report for 12 min" in _trial_text(run.in_flight["a"])
    assert "running without a report" in [table.title for table in status_tables(status(ledger))]
    run.progressed("a", TrialProgress("fitting", 1, 2, 721.0))
    watchdog.step()
    assert status(ledger).studies[0].silent == []
