"""Trials that fail for real, each for its cause: memory, a dead worker, bad data, a bug, divergence, a full disk."""

import errno
import os
import signal
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from nefstudy.classifiers.catalog import CLASSIFIERS
from nefstudy.classifiers.mlp import Mlp
from nefstudy.config import ClassifierConfig
from nefstudy.errors import BadSignals, StudyStopped
from nefstudy.ledger import Ledger, TrialState
from nefstudy.study.plan import StudyPlan
from nefstudy.study.rules import RULES
from nefstudy.study.space import GRID_FIXED, Choice

pytestmark = [pytest.mark.fault, pytest.mark.ray, pytest.mark.slow, pytest.mark.nightly]


def abort() -> None:
    os.kill(os.getpid(), signal.SIGABRT)  # as a segmentation fault in a library: no exception, no goodbye


def run_out_of_memory() -> None:
    bytearray(1 << 62)


def read_bad_data() -> None:
    raise BadSignals("signals digits8: file x is torn")


def lose_a_mount() -> None:
    raise OSError(errno.EIO, "Input/output error", "/mnt/data/x.npz")


def trip_over_a_bug() -> None:
    raise KeyError("no such column")


@pytest.fixture
def with_trap(quick_plan, tmp_path):
    """A plan in which the points of a classifier `trap` spring it until it was sprung `times` times."""

    def make(spring, *, times: int, cells: int = 1) -> StudyPlan:
        count = tmp_path / "sprung"
        count.write_text("")

        @dataclass(frozen=True)
        class Trap:
            """A small MLP, once the trap is worn out."""

            width: int = 8

            def build(self, field, classes):
                with count.open("a+") as file:
                    file.seek(0)
                    sprung = len(file.read())
                    if sprung < times:
                        file.write("x")
                        file.flush()
                        spring()
                return Mlp(width=self.width, depth=1).build(field, classes)

        plan = quick_plan()
        quick, trap = plan.cells[0].classifier, ClassifierConfig(name="trap", params={"width": 8}, epochs=1)
        space = {"init": Choice(("shared",)), "steps": Choice((1,)), "classifier": Choice(("quick", "trap"))}
        trapped = [
            replace(cell, space=space, fixed={**cell.fixed, "hidden": 4}, classifiers={"quick": quick, "trap": trap})
            for cell in plan.cells[:cells]
        ]
        return replace(plan, cells=(*trapped, *plan.cells[cells:]), classifiers={**CLASSIFIERS, "trap": Trap})

    return make


def by_state(rows, state) -> list:
    return [row for row in rows if row.state is state]


def test_a_poison_trial_fails_after_three_attempts_and_the_study_ends(with_trap, run_here, invariants):
    """A trial that kills its worker each time: FAILED as attempt 3, every other trial complete, exit as usual."""
    plan = with_trap(abort, times=3)
    ending = run_here(plan, concurrency=1)
    rows = invariants().check()
    (failed,) = by_state(rows, TrialState.FAILED)
    assert (failed.cause, failed.attempt) == ("worker_lost", 3)
    assert len(by_state(rows, TrialState.COMPLETE)) == sum(cell.planned for cell in plan.cells) - 1
    assert (ending.state, ending.failed, ending.retried) == ("finished", 1, 2)
    assert "died" in failed.error
    assert "Traceback" not in failed.error


def test_a_killed_worker_costs_one_attempt(with_trap, run_here, invariants, tmp_path):
    """The trial whose worker died is complete as attempt 2, with the values of a run without a fault."""
    plan = with_trap(abort, times=1)
    run_here(plan, concurrency=1)
    rows = invariants().check(plan=plan)
    assert sorted(row.attempt for row in rows)[-2:] == [1, 2]
    (tmp_path / "whole").mkdir()
    run_here(plan, root=tmp_path / "whole")
    invariants().check(reference=invariants(tmp_path / "whole").check(plan=plan))


def test_out_of_memory_is_tried_again_with_less_at_a_time(with_trap, run_here, invariants, tmp_path):
    """Twice too little memory: attempt 3 completes with a quarter of the chunk and the same values."""
    plan = with_trap(run_out_of_memory, times=2)
    run_here(plan, concurrency=1)
    rows = invariants().check(plan=plan)
    assert max(row.attempt for row in rows) == 3
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db", read_only=True) as ledger:
        assert ledger.trials.retries("quick") == {("phase2", "digits8/siren", "oom"): 2}
    (tmp_path / "whole").mkdir()
    run_here(plan, root=tmp_path / "whole")
    invariants().check(reference=invariants(tmp_path / "whole").check(plan=plan))


def test_trouble_that_passes_costs_attempts_alone(with_trap, run_here, invariants, tmp_path, monkeypatch):
    """A mount away three times: attempt 4 completes after three pauses, all other trials at their first."""
    monkeypatch.setitem(RULES, "machine", replace(RULES["machine"], pause_s=1.0))
    plan = with_trap(lose_a_mount, times=3)
    ending = run_here(plan, concurrency=1)
    rows = invariants().check(plan=plan)
    assert (ending.state, ending.failed, ending.retried) == ("finished", 0, 3)
    assert sorted(row.attempt for row in rows)[-2:] == [1, 4]
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db", read_only=True) as ledger:
        assert ledger.trials.retries("quick") == {("phase2", "digits8/siren", "machine"): 3}


def test_a_machine_that_stays_broken_stops_the_study_and_the_next_run_completes_it(
    with_trap, run_here, invariants, monkeypatch
):
    """The trial is FAILED(machine) after its attempts; unasked, the same command tries it again later."""
    monkeypatch.setitem(RULES, "machine", replace(RULES["machine"], pause_s=0.1, attempts=3))
    plan = with_trap(lose_a_mount, times=3)
    with pytest.raises(StudyStopped, match=r"1 trials failed alike \(machine: .*Input/output error"):
        run_here(plan, max_equal_failures=1, concurrency=1)
    (failed,) = by_state(invariants().rows(), TrialState.FAILED)
    assert (failed.cause, failed.attempt) == ("machine", 3)
    assert run_here(plan).state == "finished"
    invariants().check(plan=plan)


def test_bad_data_stops_its_cell_and_a_later_run_goes_on(with_trap, run_here, invariants, tmp_path):
    """The cell is left alone with the reason, the other completes; mended, the same command does the rest."""
    plan = with_trap(read_bad_data, times=1)
    with pytest.raises(StudyStopped, match=r"left cells alone: phase2 digits8/siren .*file x is torn.*run the same"):
        run_here(plan, concurrency=1)
    rows = invariants().check()
    assert {row.cause for row in by_state(rows, TrialState.FAILED)} == {"bad_data"}
    assert {row.state for row in rows if row.cell == "digits8/rffnet"} == {TrialState.COMPLETE}
    assert run_here(plan).state == "finished"
    invariants().check(plan=plan)


def test_equal_bugs_stop_the_study(with_trap, run_here, invariants):
    """One failure is as many as allowed: nothing more is started; what finished is kept."""
    plan = with_trap(trip_over_a_bug, times=1)
    with pytest.raises(StudyStopped, match=r"1 trials failed alike \(bug: KeyError: 'no such column'\)"):
        run_here(plan, max_equal_failures=1, concurrency=1)
    rows = invariants().check()
    assert len(by_state(rows, TrialState.FAILED)) == 1
    assert len(rows) < sum(cell.planned for cell in plan.cells)
    run_here(plan)
    assert len(invariants().check()) == sum(cell.planned for cell in plan.cells)


def test_a_diverged_fit_fails_its_trial_alone(quick_plan, run_here, invariants):
    """A learning rate of a thousand million: FAILED for divergence, told so; the other cell is complete."""
    plan = quick_plan()
    space = {"init": Choice(("shared",)), "steps": Choice((30,))}
    wild = replace(plan.cells[0], field="mfn", space=space, fixed={**GRID_FIXED["mfn"], "hidden": 4, "lr": 1e9})
    run_here(replace(plan, cells=(wild, plan.cells[1])))
    rows = invariants().check()
    assert {row.cause for row in by_state(rows, TrialState.FAILED)} == {"diverged"}
    assert {row.cell for row in by_state(rows, TrialState.COMPLETE)} == {"digits8/rffnet"}


def test_a_worker_of_other_versions_says_so(quick_plan, run_here, invariants, monkeypatch):
    """A node with another library: each trial is refused by a sentence that names both versions; nothing is lost."""
    from nefstudy.study import session
    from nefstudy.trial.distributed import TrialSetup
    from nefstudy.trial.versions import versions_here

    others = versions_here() | {"torch": "0.0.1"}
    monkeypatch.setattr(session, "TrialSetup", lambda **given: TrialSetup(**given, versions=others))
    with pytest.raises(StudyStopped, match=r"node .* has torch .* \(driver: 0\.0\.1\); install the same constraints"):
        run_here(quick_plan(), max_equal_failures=1)
    assert {row.cause for row in by_state(invariants().check(), TrialState.FAILED)} == {"worker_lost"}


def test_a_full_disk_stops_the_study_and_free_space_continues_it(quick_plan, run_here, invariants, tmp_path):
    """Nothing can be written: the study stops for the disk; with space again the same command completes it."""
    blocked = tmp_path / "neural_datasets"
    blocked.write_text("a file where a directory must be")
    with pytest.raises(StudyStopped, match=r"trials failed alike \(disk: .*cannot be written"):
        run_here(quick_plan(), max_equal_failures=3)
    rows = invariants().rows()
    assert {row.cause for row in by_state(rows, TrialState.FAILED)} == {"disk"}
    Path(blocked).unlink()
    run_here(quick_plan())
    invariants().check(plan=quick_plan())
