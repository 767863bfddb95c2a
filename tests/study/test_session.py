"""Laws of a run's two ends: who is turned away changes nothing, who asks it to end gets the exit code that says so."""

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
from nefstudy.study.continuing import continued
from nefstudy.study.options import StudyOptions
from nefstudy.study.place import Place, resolve_place
from nefstudy.study.plan import StudyPlan
from nefstudy.study.samplers import Tpe
from nefstudy.study.session import TERMINATED, _passing_trouble, _stop_on_signal, run_study

from ..doing import doing
from ..ledger.records import as_cells


@pytest.mark.parametrize("code", [0, 1, TERMINATED])
def test_a_terminated_driver_exits_143_whatever_ray_makes_of_the_signal(code):
    """Ray answers the handler's exit with one of its own, of code 0 or 1; the driver's is 143 all the same."""

    def wait_as_ray_does() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except SystemExit:
            raise SystemExit(code) from None

    with pytest.raises(SystemExit) as ended, _stop_on_signal():
        wait_as_ray_does()
    assert ended.value.code == 143


def test_an_exit_without_a_signal_keeps_its_code():
    """Only SIGTERM makes it 143."""
    with pytest.raises(SystemExit) as ended, _stop_on_signal():
        raise SystemExit(5)
    assert ended.value.code == 5


def test_a_first_interrupt_asks_and_a_second_ends():
    """Ctrl-C once: the event is set and the run goes on; twice: KeyboardInterrupt."""
    with _stop_on_signal() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.is_set()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_driver_that_is_turned_away_changes_nothing(tmp_path, small_grid):
    """While one driver holds the study, another with other budgets and another `--keep` leaves no trace."""
    place = resolve_place(str(tmp_path), environment={})
    plan = StudyPlan(study="s", cells=(small_grid,), tasks=doing(noop))
    with Ledger.open(place.ledger) as ledger:
        ledger.studies.put("s", continued(None, plan.pinned()) | {"keep": "all"}, cells=as_cells(plan.planned()))
        ledger.leases.acquire("s", Owner.here())
        before = (ledger.studies.get("s"), ledger.studies.planned("s"))
        more = replace(plan, cells=(replace(small_grid, replicates=2),))
        with pytest.raises(StudyBusy):
            run_study(more, StudyOptions(keep="none"), place=place, console=Console(file=io.StringIO()))
        assert (ledger.studies.get("s"), ledger.studies.planned("s")) == before


def test_a_study_that_ends_with_nothing_complete_says_why_and_exits_1(tmp_path, small_grid, open_run):
    """All of its trials failed: one line with counts, causes and the next step; one complete trial is enough for 0."""
    place = Place(str(tmp_path), f"sqlite:///{tmp_path}/ledger.db", "")
    plan = StudyPlan(study="s", cells=(small_grid,))
    with Ledger.open(place.ledger) as ledger:
        run = open_run(ledger, plan.pinned())
        for count in range(small_grid.planned):
            assert run.next(f"t{count}") is not None
            run.failed(f"t{count}", cause="diverged", error="x")
        ledger.leases.release(run.lease, state="stopped")
    console = Console(file=io.StringIO())
    with pytest.raises(
        StudyStopped, match=r"ended with nothing complete: 12 failed \(diverged\); .*nefstudy retry"
    ) as ended:
        run_study(plan, StudyOptions(), place=place, console=console)
    assert ended.value.exit_code == 1


def test_a_search_larger_than_its_space_is_said_at_the_end(tmp_path, small_grid, open_run, drain):
    """Two of six, because the space holds two points; the study is finished and says 2/2."""
    place = Place(str(tmp_path), f"sqlite:///{tmp_path}/ledger.db", "")
    fixed = {**small_grid.fixed, "hidden": 8, "steps": 1}
    cell = replace(small_grid, phase="phase1", space={"init": small_grid.space["init"]}, fixed=fixed, sampler=Tpe(6))
    plan = StudyPlan(study="s", cells=(cell,))
    with Ledger.open(place.ledger) as ledger:
        run = open_run(ledger, plan.pinned())
        drain(run)
        ledger.leases.release(run.lease, state="stopped")
    said = io.StringIO()
    ending = run_study(plan, StudyOptions(), place=place, console=Console(file=said, width=200))
    assert ending.state == "finished"
    assert "phase1 digits8/siren: 2 of 6: the space holds 2 points" in said.getvalue()
    assert "2/2 trials complete" in said.getvalue()


def test_a_mount_that_is_away_for_a_moment_does_not_end_the_driver(caplog):
    """Retention and the look at free space come again; what does not pass is raised."""
    with _passing_trouble():
        raise OSError(errno.ESTALE, "Stale file handle", "/mnt/root")
    assert "Stale file handle" in caplog.text
    for error in (OSError(errno.ENOENT, "No such file"), KeyError("x")):
        with pytest.raises(type(error)), _passing_trouble():
            raise error
