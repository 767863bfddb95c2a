"""Laws of control: what is asked through the ledger is obeyed once, in order, and answered."""

import re
import threading

import pytest

from nefstudy.errors import BadConfig
from nefstudy.ledger import TrialState
from nefstudy.study import control
from nefstudy.study.control import Control, requested_trial
from nefstudy.study.disk import DiskWatch
from nefstudy.study.options import StudyOptions
from nefstudy.study.place import Place
from nefstudy.study.plan import StudyPlan


@pytest.fixture
def driver(ledger, small_grid, open_run):
    """(run, control, stop event, a function that asks and returns the driver's answer)."""
    run = open_run(ledger, StudyPlan(study="s", cells=(small_grid,)))
    stop = threading.Event()
    control = Control(run, stop=stop)

    def ask(verb, body=None):
        row = ledger.commands.append("s", verb, body=body or {})
        control.obey()
        return next(command.outcome for command in ledger.commands.latest("s") if command.id == row.id)

    return run, control, stop, ask


def test_pause_holds_back_and_resume_goes_on(driver, ledger):
    """While paused nothing is handed out, though the run is not exhausted; the study's state says so."""
    run, _, _, ask = driver
    assert "paused" in ask("pause")
    assert run.next("a") is None
    assert not run.exhausted
    assert ledger.studies.get("s").state == "paused"
    ask("resume")
    assert run.next("a") is not None
    assert ledger.studies.get("s").state == "running"


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
    point = {"init": "random", "hidden": 16, "steps": 1}
    wished = requested_trial(run.plan, {"cell": "digits8/siren", "point": point}).trial
    assert wished.key in ask("enqueue", {"phase": "phase2", "cell": "digits8/siren", "point": point})
    keys = drain(run)
    assert keys[0] == wished.key
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
    rows = ledger.trials.page("s", limit=None).rows
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
    assert ledger.studies.stopped_cells("s") == {}
    keys = drain(run)
    assert keys[0] == failed.trial.key
    assert len(keys) == small_grid.planned


@pytest.fixture
def tight(driver, tmp_path):
    """The driver's ask, with 80 GB free."""
    run, _, _, ask = driver
    DiskWatch(run, Place(str(tmp_path), "postgresql://x/y", ""), min_free_gb=1.0, free=lambda _: 80 * 10**9)
    return ask


def asked(**point):
    return {"phase": "phase2", "cell": "digits8/siren", "point": {"init": "shared", "steps": 2, **point}}


def test_a_request_is_priced_before_it_is_accepted(driver, tight, drain, small_grid):
    """Terabytes, thousands of hours and absurd widths are refused with size, limit and next step; the study goes on."""
    run, *_ = driver
    assert re.fullmatch(
        r"refused: enqueue \w+: its neural dataset takes [\d,.]+ GB, 80\.00 are free at \S+ and 1 stay free "
        r"\(--min-free-gb\): ask for fewer views .*",
        tight("enqueue", asked(hidden=4096, views=1000)),
    )
    assert re.fullmatch(
        r"refused: enqueue \w+: its fit takes [\d,.]+ hours or more and 1000 are allowed; ask for fewer steps.*",
        tight("enqueue", asked(steps=10**7, hidden=2048)),
    )
    assert "hidden = 2147483647: must be in 1..4096" in tight("enqueue", asked(hidden=2**31 - 1))
    assert "layers = 2147483647: must be in" in tight("enqueue", asked(layers=2**31 - 1))
    assert not run.wanted
    assert len(drain(run)) == small_grid.planned
    assert tight("enqueue", asked(steps=3)).startswith("enqueued ")


def test_a_request_larger_than_the_memory_is_refused(driver, monkeypatch):
    """The least memory of a chunk is compared with the machine's."""
    monkeypatch.setattr(control, "machine_memory", lambda: 10**6)
    assert "MB" not in (said := driver[3]("enqueue", asked(hidden=512)))
    assert "GB of memory and this machine has 0.0" in said


def test_the_hours_of_a_request_are_limited_by_the_options():
    """By the smaller of --budget-hours and --max-trial-hours, else by the stated default."""
    assert StudyOptions().request_hours is None
    assert StudyOptions(budget_hours=8).request_hours == 8
    assert StudyOptions(budget_hours=8, max_trial_hours=2).request_hours == 2


def test_a_queued_trial_is_withdrawn_and_may_be_asked_for_again(driver, drain, ledger, small_grid):
    """Its row is FAILED as withdrawn, nothing hands it out, and `retry` or `enqueue` brings it back."""
    run, _, _, ask = driver
    key = ask("enqueue", asked(hidden=16)).split()[-1]
    assert ask("withdraw", {"key": key}) == f"withdrawn {key}"
    row = ledger.trials.get(key, study="s")
    assert (row.state, row.cause) == (TrialState.FAILED, "withdrawn")
    assert key not in drain(run)
    assert "FAILED in phase2" in ask("withdraw", {"key": key})
    assert ask("retry", {"cause": "withdrawn"}) == "1 failed trials put back"
    assert drain(run) == [key]
    assert "COMPLETE in phase2" in ask("withdraw", {"key": key})
    assert len(ledger.trials.page("s", limit=None).rows) == small_grid.planned


def test_a_running_trial_is_withdrawn_and_its_worker_is_to_be_killed(driver, result, ledger):
    """It ends at once; what its worker may still report changes nothing; its slot is free."""
    run, _, _, ask = driver
    key = run.next("a").trial.key
    run.started("a")
    assert ask("withdraw", {"key": key, "phase": "phase2"}) == f"withdrawn {key}"
    assert run.abandoned == {"a"}
    run.completed("a", result(0.5))
    row = ledger.trials.get(key, study="s")
    assert (row.state, row.cause, row.score) == (TrialState.FAILED, "withdrawn", None)
    assert not run.under_way


def test_what_an_earlier_run_left_open_is_withdrawn_before_anything_is_handed_out(
    ledger, small_grid, open_run, drain, driver
):
    """Asked while no driver runs; the next run obeys first, for a request, a trial cut off and one that waits for a
    retry. A later run does not take them up again."""
    first, _, _, ask = driver
    extra = ask("enqueue", asked(hidden=32)).split()[-1]
    cut = first.next("a").trial.key
    assert cut == extra
    waiting = first.next("b").trial.key
    first.failed("b", cause="oom", error="x")
    ledger.leases.release(first.lease, state="stopped")
    for key in (extra, waiting):
        ledger.commands.append("s", "withdraw", body={"key": key})
    second = open_run(ledger, first.plan)
    Control(second, stop=threading.Event()).obey(starting=True)
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
    """Only the key of a trial of the study that is queued or running will do."""
    assert driver[3]("withdraw", body).startswith("refused: ")


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
    ledger.commands.append("s", "stop")
    control.obey(starting=True)
    assert not stop.is_set()
    assert ledger.commands.latest("s")[0].outcome == "no driver was at work"
