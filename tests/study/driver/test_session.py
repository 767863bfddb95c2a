"""Tests of how a run starts and ends: rejected drivers, signals, exit codes and the final summary."""

import errno
import io
import os
import signal
from dataclasses import replace

import pytest
from rich.console import Console

from nefstudy.bench.noop import noop
from nefstudy.errors import StudyBusy, StudyStopped
from nefstudy.ledger import Ledger, Owner
from nefstudy.study.driver.session import TERMINATED, _log_machine_errors, _stop_on_signal, run_study
from nefstudy.study.locations import Locations, resolve_locations
from nefstudy.study.options import StudyOptions
from nefstudy.study.plan.continuation import continued
from nefstudy.study.plan.study_plan import StudyPlan
from nefstudy.study.samplers import Tpe

from ...ledger.records import as_cells
from ...stub_tasks import tasks_with


@pytest.mark.parametrize("code", [0, 1, TERMINATED])
def test_a_terminated_driver_exits_143_whatever_ray_makes_of_the_signal(code):
    """After SIGTERM, the driver exits with code 143, even if Ray changes the code to 0 or 1."""

    def wait_as_ray_does() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except SystemExit:
            raise SystemExit(code) from None

    with pytest.raises(SystemExit) as ended, _stop_on_signal():
        wait_as_ray_does()
    assert ended.value.code == 143


def test_an_exit_without_a_signal_keeps_its_code():
    """If a driver exits without SIGTERM, its exit code is unchanged."""
    with pytest.raises(SystemExit) as ended, _stop_on_signal():
        raise SystemExit(5)
    assert ended.value.code == 5


def test_a_first_interrupt_requests_a_stop_and_a_second_ends():
    """The first Ctrl-C sets the stop event, and the second Ctrl-C raises KeyboardInterrupt."""
    with _stop_on_signal() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.is_set()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_refused_driver_changes_nothing(tmp_path, small_grid):
    """While one driver holds the lease of a study, a second driver with different options changes nothing."""
    locations = resolve_locations(str(tmp_path), environment={})
    plan = StudyPlan(study="s", cells=(small_grid,), tasks=tasks_with(noop))
    with Ledger.open(locations.ledger) as ledger:
        ledger.studies.put("s", continued(None, plan.pinned()) | {"keep": "all"}, cells=as_cells(plan.planned()))
        ledger.leases.acquire("s", Owner.current())
        before = (ledger.studies.get("s"), ledger.studies.planned("s"))
        more = replace(plan, cells=(replace(small_grid, replicates=2),))
        with pytest.raises(StudyBusy):
            run_study(more, StudyOptions(keep="none"), locations=locations, console=Console(file=io.StringIO()))
        assert (ledger.studies.get("s"), ledger.studies.planned("s")) == before


def test_a_study_that_ends_with_nothing_complete_reports_causes_and_exits_1(tmp_path, small_grid, open_run):
    """If all trials of a study failed, the error states how many, their causes and the command to retry them."""
    locations = Locations(str(tmp_path), f"sqlite:///{tmp_path}/ledger.db", "")
    plan = StudyPlan(study="s", cells=(small_grid,))
    with Ledger.open(locations.ledger) as ledger:
        run = open_run(ledger, plan.pinned())
        for count in range(small_grid.planned):
            assert run.next(f"t{count}") is not None
            run.failed(f"t{count}", cause="diverged", error="x")
        ledger.leases.release(run.lease, state="stopped")
    console = Console(file=io.StringIO())
    with pytest.raises(StudyStopped, match=r"12 .*\(diverged\).*nefstudy retry") as ended:
        run_study(plan, StudyOptions(), locations=locations, console=console)
    assert ended.value.exit_code == 1


def test_a_search_larger_than_its_space_is_reported_at_the_end(tmp_path, small_grid, open_run, drain):
    """A search with a budget of six in a space of two points ends after two trials, and the summary explains why."""
    locations = Locations(str(tmp_path), f"sqlite:///{tmp_path}/ledger.db", "")
    fixed = {**small_grid.fixed, "hidden": 8, "steps": 1}
    cell = replace(small_grid, phase="phase1", space={"init": small_grid.space["init"]}, fixed=fixed, sampler=Tpe(6))
    plan = StudyPlan(study="s", cells=(cell,))
    with Ledger.open(locations.ledger) as ledger:
        run = open_run(ledger, plan.pinned())
        drain(run)
        ledger.leases.release(run.lease, state="stopped")
    output = io.StringIO()
    run_result = run_study(plan, StudyOptions(), locations=locations, console=Console(file=output, width=200))
    assert run_result.state == "finished"
    assert "phase1 digits8/siren: 2 of 6" in output.getvalue()
    assert "2/2 trials complete" in output.getvalue()


def test_a_mount_that_is_briefly_away_does_not_end_the_driver(caplog):
    """A temporary error of the mount is logged and does not end the driver. Other errors are raised."""

    def lose_mount() -> None:
        raise OSError(errno.ESTALE, "Stale file handle", "/mnt/root")

    with _log_machine_errors():
        lose_mount()
    assert "Stale file handle" in caplog.text
    for error in (OSError(errno.ENOENT, "No such file"), KeyError("x")):
        with pytest.raises(type(error)), _log_machine_errors():
            raise error
