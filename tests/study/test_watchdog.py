"""Laws of the watchdog: a trial's hours count from its start; silence is counted from its last report."""

import time

import pytest

from nefstudy.insight.status import status
from nefstudy.ledger import TrialState
from nefstudy.service.tables import status_tables
from nefstudy.study.live import _now
from nefstudy.study.plan import StudyPlan
from nefstudy.study.watchdog import Watchdog
from nefstudy.tasks.progress import Working


@pytest.fixture
def clock():
    """A clock that a test sets."""
    return {"now": 0.0}


def test_a_trial_that_runs_too_long_fails_once_and_its_worker_is_killed(ledger, small_grid, open_run, clock, result):
    """The time from claim to start does not count; a trial that timed out is not retried, the others go on."""
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
    assert set(run.under_way) == {"waiting"}
    run.completed("slow", result(0.5))
    row = ledger.trials.get(slow.trial.key, study="s")
    assert (row.state, row.cause, row.attempt) == (TrialState.FAILED, "timeout", 1)
    assert row.error == "ran longer than 2 h (--max-trial-hours) and was killed; allow more, then retry"
    assert ledger.trials.get(waiting.trial.key, study="s").state is TrialState.REQUESTED


def test_without_a_limit_nothing_times_out(ledger, small_grid, open_run, clock):
    """None sets no limit, however long a trial runs."""
    run = open_run(ledger, StudyPlan(study="s", cells=(small_grid,)))
    watchdog = Watchdog(run, max_hours=None, clock=lambda: clock["now"])
    run.next("a")
    run.started("a")
    watchdog.step()
    clock["now"] = 1e9
    watchdog.step()
    assert set(run.under_way) == {"a"}


def test_silence_counts_from_the_last_report(ledger, small_grid, open_run, clock):
    """From its start, then from each report."""
    run = open_run(ledger, StudyPlan(study="s", cells=(small_grid,)))
    watchdog = Watchdog(run, max_hours=None, clock=lambda: clock["now"])
    run.next("a")
    run.started("a")
    silences = []
    for now, reports in ((0.0, False), (400.0, False), (500.0, True), (900.0, False)):
        clock["now"] = now
        if reports:
            run.progressed("a", Working("fitting", 1, 2, now))
        watchdog.step()
        silences.append(run.under_way["a"].silent_s)
    assert silences == [0.0, 400.0, 0.0, 400.0]


def test_silence_is_shown_wherever_one_looks(ledger, small_grid, open_run, clock):
    """In the live view, `status` and the REST answer after five minutes, until the trial reports again."""
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
    assert "no report for 12 min" in _now(run.under_way["a"])
    assert "running without a report" in [table.title for table in status_tables(status(ledger))]
    run.progressed("a", Working("fitting", 1, 2, 721.0))
    watchdog.step()
    assert status(ledger).studies[0].silent == []
