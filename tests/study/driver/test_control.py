"""Tests of how a driver processes commands in the ledger: once, in order, and with a recorded outcome."""

import re
import threading

import pytest

from nefstudy.errors import BadConfig
from nefstudy.ledger import TrialState
from nefstudy.study.driver import control
from nefstudy.study.driver.control import Control, requested_trial
from nefstudy.study.estimate.disk import DiskWatch
from nefstudy.study.locations import Locations
from nefstudy.study.options import StudyOptions
from nefstudy.study.plan.study_plan import StudyPlan


@pytest.fixture
def driver(ledger, small_grid, open_run):
    """Return a run, its control, its stop event, and a function that issues a command and returns its outcome."""
    run = open_run(ledger, StudyPlan(study="s", cells=(small_grid,)))
    stop = threading.Event()
    control = Control(run, stop=stop)

    def ask(verb, body=None):
        row = ledger.commands.append("s", verb, body=body or {})
        control.process()
        return next(command.outcome for command in ledger.commands.latest("s") if command.id == row.id)

    return run, control, stop, ask


def test_pause_holds_back_and_resume_goes_on(driver, ledger):
    """While a run is paused, it hands out no trials, but it does not count as exhausted."""
    run, _, _, ask = driver
    assert "paused" in ask("pause")
    assert run.next("a") is None
    assert not run.exhausted
    assert ledger.studies.get("s").state == "paused"
    ask("resume")
    assert run.next("a") is not None
    assert ledger.studies.get("s").state == "running"


def test_stop_sets_the_event(driver):
    """The stop command sets the driver's stop event."""
    _, _, stop, ask = driver
    assert not stop.is_set()
    ask("stop")
    assert stop.is_set()


def test_concurrency_limits_trials_in_flight(driver):
    """The concurrency command limits how many trials run at a time."""
    run, _, _, ask = driver
    ask("concurrency", {"trials": 2})
    assert [run.next(f"t{i}") is not None for i in range(3)] == [True, True, False]
    assert ask("concurrency", {"trials": 0}).startswith("refused: concurrency 0")
    assert run.limit == 2


def test_an_enqueued_point_of_the_grid_runs_next_and_once(driver, drain, small_grid):
    """A point of the grid that is enqueued runs next and only once."""
    run, _, _, ask = driver
    point = {"init": "random", "hidden": 16, "steps": 1}
    requested = requested_trial(run.plan, {"cell": "digits8/siren", "point": point}).trial
    assert requested.key in ask("enqueue", {"phase": "phase2", "cell": "digits8/siren", "point": point})
    keys = drain(run)
    assert keys[0] == requested.key
    assert len(keys) == len(set(keys)) == small_grid.planned


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"cell": "digits8/siren", "point": {"init": "shared", "steps": 1, "hiden": 4}},
        {"cell": "digits8/siren", "point": {"init": "shared", "steps": -1}},
        {"cell": "mnist5k/mfn", "point": {"init": "shared", "steps": 1}},
        {"cell": "digits8/siren", "point": {"init": "shared", "steps": 1}, "extra": 1},
        {"cell": "digits8/siren", "point": {"init": "shared", "steps": 1, "hidden": [8]}},
        {"cell": "digits8/siren", "point": {"init": "shared", "steps": 1, "hidden": {}}},
        {"cell": "digits8/siren", "point": {"init": "shared", "steps": 1, "hidden": None}},
        {"cell": "digits8/siren", "point": {"init": "shared", "steps": 1, "lr": float("nan")}},
        {"cell": "digits8/siren", "point": {"init": "shared", "steps": 1, "omega_0": float("nan")}},
        {"cell": "digits8/siren", "point": {"init": "shared", "steps": 1, "hidden": float("inf")}},
        {"cell": "digits8/siren", "point": {"init": "shared", "steps": 1, "hidden": 10**30}},
        {"cell": "digits8/siren", "point": {"init": "shared", "steps": 1, "lr": 10**400}},
        {"cell": "digits8/siren", "point": {"init": "shared", "steps": 1, "classifier": []}},
        {"cell": "digits8/siren", "point": {"init": [], "steps": 1}},
        {"cell": "digits8/siren", "point": {"init": "\ud800", "steps": 1}},
        {"cell": "digits8/siren", "point": {"init": "shared", "steps": 1, "\ud800": "\ud800"}},
        {"cell": "digits8/siren", "point": {"init": "shared", "steps": [1]}},
        {"cell": ["digits8/siren"], "phase": {}, "point": {"init": "shared", "steps": 1}},
    ],
)
def test_an_invalid_request_is_refused_with_a_reason(driver, body):
    """A request that is not a valid trial of the plan is refused, and the outcome states the reason."""
    run, _, _, ask = driver
    assert ask("enqueue", body).startswith("refused: ")
    assert not run.needed_datasets
    with pytest.raises(BadConfig):
        requested_trial(run.plan, body)


def test_retry_queues_failed_trials_of_a_cause(driver, drain, ledger, small_grid):
    """`retry` queues only the trials that failed with the given cause."""
    run, _, _, ask = driver
    for name, cause in (("a", "diverged"), ("b", "bug")):
        assert run.next(name) is not None
        run.failed(name, cause=cause, error="x")
    drain(run)
    assert ask("retry", {"cause": "diverged"}) == "1 failed trials queued for retry"
    drain(run)
    rows = ledger.trials.page("s", limit=None).rows
    assert len(rows) == small_grid.planned
    assert [row.cause for row in rows if row.state is TrialState.FAILED] == ["bug"]
    assert max(row.attempt for row in rows) == 2


def test_retry_reopens_a_stopped_cell(driver, drain, ledger, small_grid):
    """Retrying a trial that failed because of bad data reopens its stopped cell. The retried trial runs first."""
    run, _, _, ask = driver
    failed = run.next("a")
    run.failed("a", cause="bad_data", error="unreadable")
    assert run.next("b") is None
    assert ask("retry", {"cause": "bad_data"}) == "1 failed trials queued for retry"
    assert ledger.studies.stopped_cells("s") == {}
    keys = drain(run)
    assert keys[0] == failed.trial.key
    assert len(keys) == small_grid.planned


@pytest.fixture
def tight(driver, tmp_path):
    """Return a function that issues commands to a driver whose disk has 80 GB free."""
    run, _, _, ask = driver
    DiskWatch(run, Locations(str(tmp_path), "postgresql://x/y", ""), min_free_gb=1.0, free=lambda _: 80 * 10**9)
    return ask


def body_of(**point):
    return {"phase": "phase2", "cell": "digits8/siren", "point": {"init": "shared", "steps": 2, **point}}


def test_a_request_is_priced_before_it_is_accepted(driver, tight, drain, small_grid):
    """A request that would need terabytes, thousands of hours or an absurd width is refused.

    The outcome states the size, the limit and the next step.
    """
    run, *_ = driver
    assert re.fullmatch(
        r"refused: enqueue \w+: its neural dataset takes [\d,.]+ GB, 80\.00 are free at \S+ and 1 stay free "
        r"\(--min-free-gb\): .* fewer views .*",
        tight("enqueue", body_of(hidden=4096, views=1000)),
    )
    assert re.fullmatch(
        r"refused: enqueue \w+: its fit takes [\d,.]+ hours or more and 1000 are allowed; .* fewer steps.*",
        tight("enqueue", body_of(steps=10**7, hidden=2048)),
    )
    assert "hidden = 2147483647: must be in 1..4096" in tight("enqueue", body_of(hidden=2**31 - 1))
    assert "layers = 2147483647: must be in" in tight("enqueue", body_of(layers=2**31 - 1))
    assert not run.needed_datasets
    assert len(drain(run)) == small_grid.planned
    assert tight("enqueue", body_of(steps=3)).startswith("enqueued ")


def test_a_request_larger_than_the_memory_is_refused(driver, monkeypatch):
    """A request is refused if even its smallest chunk exceeds the machine's memory."""
    monkeypatch.setattr(control, "machine_memory", lambda: 10**6)
    assert "MB" not in (outcome := driver[3]("enqueue", body_of(hidden=512)))
    assert "GB of memory and this machine has 0.0" in outcome


def test_the_hours_of_a_request_are_limited_by_the_options():
    """A requested trial may take no more hours than the smaller of --budget-hours and --max-trial-hours."""
    assert StudyOptions().request_hours is None
    assert StudyOptions(budget_hours=8).request_hours == 8
    assert StudyOptions(budget_hours=8, max_trial_hours=2).request_hours == 2


def test_a_queued_trial_is_withdrawn_and_may_be_requested_again(driver, drain, ledger, small_grid):
    """A queued trial that is withdrawn fails with the cause `withdrawn` and runs again only after `retry`."""
    run, _, _, ask = driver
    key = ask("enqueue", body_of(hidden=16)).split()[-1]
    assert ask("withdraw", {"key": key}) == f"withdrawn {key}"
    row = ledger.trials.get(key, study="s")
    assert (row.state, row.cause) == (TrialState.FAILED, "withdrawn")
    assert key not in drain(run)
    assert "FAILED in phase2" in ask("withdraw", {"key": key})
    assert ask("retry", {"cause": "withdrawn"}) == "1 failed trials queued for retry"
    assert drain(run) == [key]
    assert "COMPLETE in phase2" in ask("withdraw", {"key": key})
    assert len(ledger.trials.page("s", limit=None).rows) == small_grid.planned


def test_a_running_trial_is_withdrawn_and_its_worker_is_to_be_killed(driver, result, ledger):
    """Withdrawing a running trial ends it at once, and later reports from its worker are ignored."""
    run, _, _, ask = driver
    key = run.next("a").trial.key
    run.started("a")
    assert ask("withdraw", {"key": key, "phase": "phase2"}) == f"withdrawn {key}"
    assert run.abandoned == {"a"}
    run.completed("a", result(0.5))
    row = ledger.trials.get(key, study="s")
    assert (row.state, row.cause, row.score) == (TrialState.FAILED, "withdrawn", None)
    assert not run.in_flight


def test_an_open_trial_of_an_earlier_run_is_withdrawn_before_any_trial_is_handed_out(
    ledger, small_grid, open_run, drain, driver
):
    """If open trials are withdrawn while no driver runs, no later run repeats them.

    One of the trials was requested and then interrupted, and the other waits for a retry.
    """
    first, _, _, ask = driver
    extra = ask("enqueue", body_of(hidden=32)).split()[-1]
    interrupted = first.next("a").trial.key
    assert interrupted == extra
    waiting = first.next("b").trial.key
    first.failed("b", cause="oom", error="x")
    ledger.leases.release(first.lease, state="stopped")
    for key in (extra, waiting):
        ledger.commands.append("s", "withdraw", body={"key": key})
    second = open_run(ledger, first.plan)
    Control(second, stop=threading.Event()).process(starting=True)
    assert {command.outcome for command in ledger.commands.latest("s", limit=2)} == {
        f"withdrawn {k}" for k in (extra, waiting)
    }
    assert not {extra, waiting} & set(drain(second))
    ledger.leases.release(second.lease, state="finished")
    third = open_run(ledger, first.plan)
    assert third.exhausted
    assert ledger.studies.planned("s")["phase2", "digits8/siren"] == small_grid.planned + 1


@pytest.mark.parametrize("body", [{}, {"key": None}, {"key": 5}, {"key": []}, {"key": "nothing"}, {"key": "\x1b[31m"}])
def test_withdrawing_nothing_is_refused(driver, body):
    """A withdrawal is refused unless it names the key of a queued or running trial."""
    assert driver[3]("withdraw", body).startswith("refused: ")


def test_a_command_is_processed_once(driver, ledger):
    """Commands that are already settled are not processed again."""
    run, control, _, ask = driver
    ask("pause")
    run.paused = False
    control.process()
    assert not run.paused
    assert ask("dance").startswith("refused: unknown command 'dance'")


def test_old_driver_commands_do_not_reach_the_next_driver(driver, ledger):
    """A stop command that was issued while no driver ran does not stop the next driver."""
    _, control, stop, _ = driver
    ledger.commands.append("s", "stop")
    control.process(starting=True)
    assert not stop.is_set()
    assert ledger.commands.latest("s")[0].outcome == "no driver was running"
