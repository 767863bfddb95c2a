"""Laws of a run's two ends: who is turned away changes nothing, who asks it to end gets the exit code that says so."""

import io
import os
import signal
from dataclasses import replace

import pytest
from rich.console import Console

from nefstudy.bench.noop import noop
from nefstudy.errors import StudyBusy
from nefstudy.ledger import Ledger, Owner
from nefstudy.study.continuing import continued
from nefstudy.study.options import StudyOptions
from nefstudy.study.place import resolve_place
from nefstudy.study.plan import StudyPlan
from nefstudy.study.session import TERMINATED, _stop_on_signal, run_study


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
    plan = StudyPlan(study="s", cells=(small_grid,), work=noop)
    with Ledger.open(place.ledger) as ledger:
        ledger.put_study("s", continued(None, plan.pinned()) | {"keep": "all"}, planned=plan.planned())
        ledger.acquire("s", Owner.here())
        before = (ledger.study("s"), ledger.planned("s"))
        more = replace(plan, cells=(replace(small_grid, replicates=2),))
        with pytest.raises(StudyBusy):
            run_study(more, StudyOptions(keep="none"), place=place, console=Console(file=io.StringIO()))
        assert (ledger.study("s"), ledger.planned("s")) == before
