"""Laws of control: what is asked through the ledger is obeyed once, in order, and answered."""

import threading

import pytest

from nefstudy.errors import BadConfig
from nefstudy.ledger import TrialState
from nefstudy.study.control import Control, requested_trial
from nefstudy.study.plan import StudyPlan


@pytest.fixture
def driver(ledger, small_grid, open_run):
    """(run, control, stop event, a function that asks and returns the driver's answer)."""
    run = open_run(ledger, StudyPlan(study="s", cells=(small_grid,)))
    stop = threading.Event()
    control = Control(run, stop=stop)

    def ask(verb, body=None):
        row = ledger.append_command("s", verb, body=body or {})
        control.obey()
        return next(command.outcome for command in ledger.commands("s") if command.id == row.id)

    return run, control, stop, ask


def test_pause_holds_back_and_resume_goes_on(driver, ledger):
    """While paused nothing is handed out, though the run is not exhausted; the study's state says so."""
    run, _, _, ask = driver
    assert "paused" in ask("pause")
    assert run.next("a") is None
    assert not run.exhausted
    assert ledger.study("s").state == "paused"
    ask("resume")
    assert run.next("a") is not None
    assert ledger.study("s").state == "running"


def test_stop_sets_the_event(driver):
    """Asked to stop, the driver is told through its event."""
    _, _, stop, ask = driver
    assert not stop.is_set()
    ask("stop")
    assert stop.is_set()


def test_concurrency_bounds_trials_under_way(driver):
    """At most the given number runs; nonsense is refused and changes nothing."""
    run, _, _, ask = driver
    ask("concurrency", {"trials": 2})
    assert [run.next(f"t{i}") is not None for i in range(3)] == [True, True, False]
    assert ask("concurrency", {"trials": 0}).startswith("refused: concurrency 0")
    assert run.limit == 2


def test_an_enqueued_point_of_the_grid_runs_next_and_once(driver, drain, small_grid):
    """It comes first, and the grid does not hand it out again."""
    run, _, _, ask = driver
    point = {"start": "random", "hidden": 16, "steps": 1}
    wished, _ = requested_trial(run.plan, {"cell": "digits8/siren", "point": point})
    assert wished.key in ask("enqueue", {"phase": "phase2", "cell": "digits8/siren", "point": point})
    keys = drain(run)
    assert keys[0] == wished.key
    assert len(keys) == len(set(keys)) == small_grid.planned


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"cell": "digits8/siren", "point": {"start": "shared", "steps": 1, "hiden": 4}},
        {"cell": "digits8/siren", "point": {"start": "shared", "steps": -1}},
        {"cell": "mnist5k/mfn", "point": {"start": "shared", "steps": 1}},
        {"cell": "digits8/siren", "point": {"start": "shared", "steps": 1}, "extra": 1},
        {"cell": "digits8/siren", "point": {"start": "shared", "steps": 1, "hidden": [8]}},
        {"cell": "digits8/siren", "point": {"start": "shared", "steps": 1, "hidden": {}}},
        {"cell": "digits8/siren", "point": {"start": "shared", "steps": 1, "hidden": None}},
        {"cell": "digits8/siren", "point": {"start": "shared", "steps": 1, "lr": float("nan")}},
        {"cell": "digits8/siren", "point": {"start": "shared", "steps": 1, "omega_0": float("nan")}},
        {"cell": "digits8/siren", "point": {"start": "shared", "steps": 1, "hidden": float("inf")}},
        {"cell": "digits8/siren", "point": {"start": "shared", "steps": 1, "hidden": 10**30}},
        {"cell": "digits8/siren", "point": {"start": "shared", "steps": 1, "lr": 10**400}},
        {"cell": "digits8/siren", "point": {"start": "shared", "steps": 1, "classifier": []}},
        {"cell": "digits8/siren", "point": {"start": [], "steps": 1}},
        {"cell": "digits8/siren", "point": {"start": "\ud800", "steps": 1}},
        {"cell": "digits8/siren", "point": {"start": "shared", "steps": 1, "\ud800": "\ud800"}},
        {"cell": "digits8/siren", "point": {"start": "shared", "steps": [1]}},
        {"cell": ["digits8/siren"], "phase": {}, "point": {"start": "shared", "steps": 1}},
    ],
)
def test_nonsense_is_refused_with_a_reason(driver, body):
    """A body that names no trial of the plan is settled as refused; the run is untouched."""
    run, _, _, ask = driver
    assert ask("enqueue", body).startswith("refused: ")
    assert not run.wanted
    with pytest.raises(BadConfig):
        requested_trial(run.plan, body)


def test_retry_puts_failed_trials_of_a_cause_back(driver, drain, ledger, small_grid):
    """Trials failed for the named cause run again as a new attempt; others stay failed."""
    run, _, _, ask = driver
    for name, cause in (("a", "diverged"), ("b", "bug")):
        assert run.next(name) is not None
        run.failed(name, cause=cause, error="x")
    drain(run)
    assert ask("retry", {"cause": "diverged"}) == "1 failed trials put back"
    drain(run)
    rows = ledger.trials("s", limit=None).rows
    assert len(rows) == small_grid.planned
    assert [row.cause for row in rows if row.state is TrialState.FAILED] == ["bug"]
    assert max(row.attempt for row in rows) == 2


def test_retry_opens_a_cell_that_was_left_alone(driver, drain, ledger, small_grid):
    """Bad data stopped the cell; asked to retry, the driver works on all of it again, the failed trial first."""
    run, _, _, ask = driver
    failed = run.next("a")
    run.failed("a", cause="bad_data", error="unreadable")
    assert run.next("b") is None
    assert ask("retry", {"cause": "bad_data"}) == "1 failed trials put back"
    assert ledger.stopped_cells("s") == {}
    keys = drain(run)
    assert keys[0] == failed.trial.key
    assert len(keys) == small_grid.planned


def test_a_command_is_obeyed_once(driver, ledger):
    """Settled commands are not taken again."""
    run, control, _, ask = driver
    ask("pause")
    run.paused = False
    control.obey()
    assert not run.paused
    assert ask("dance").startswith("refused: unknown command 'dance'")


def test_old_requests_about_a_driver_do_not_reach_the_next(driver, ledger):
    """A stop that came while nobody drove is answered so, and does not stop the next driver."""
    _, control, stop, _ = driver
    ledger.append_command("s", "stop")
    control.obey(starting=True)
    assert not stop.is_set()
    assert ledger.commands("s")[0].outcome == "no driver was at work"
