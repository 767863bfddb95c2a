"""Tests that provoke a real failure of each cause: memory, dead workers, bad data, bugs, divergence, a full disk."""

import errno
import os
import signal
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from nefstudy.classifiers.catalog import CLASSIFIERS
from nefstudy.classifiers.networks.mlp import Mlp
from nefstudy.config import ClassifierConfig
from nefstudy.errors import BadSignals, StudyStopped
from nefstudy.ledger import Ledger, TrialState
from nefstudy.study.driver.rules import RULES
from nefstudy.study.plan.study_plan import StudyPlan
from nefstudy.study.space import GRID_FIXED, Categorical

pytestmark = [pytest.mark.fault, pytest.mark.ray, pytest.mark.slow, pytest.mark.nightly]


def abort() -> None:
    os.kill(os.getpid(), signal.SIGABRT)  # like a segmentation fault in a library: no exception, no message


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
    """Return a function that makes a plan with a classifier `trap`, whose first builds fail in a given way."""

    def make(spring, *, times: int, cells: int = 1) -> StudyPlan:
        count = tmp_path / "sprung"
        count.write_text("")

        @dataclass(frozen=True)
        class Trap:
            """A small MLP whose first `times` builds call the given failing function."""

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
        space = {
            "init": Categorical(("shared",)),
            "steps": Categorical((1,)),
            "classifier": Categorical(("quick", "trap")),
        }
        trapped = [
            replace(cell, space=space, fixed={**cell.fixed, "hidden": 4}, classifiers={"quick": quick, "trap": trap})
            for cell in plan.cells[:cells]
        ]
        return replace(plan, cells=(*trapped, *plan.cells[cells:]), classifiers={**CLASSIFIERS, "trap": Trap})

    return make


def by_state(rows, state) -> list:
    return [row for row in rows if row.state is state]


def test_a_poison_trial_fails_after_three_attempts_and_the_study_ends(with_trap, run_here, invariants):
    """A trial that always kills its worker is recorded as FAILED on attempt 3.

    All other trials complete, and the study finishes.
    """
    plan = with_trap(abort, times=3)
    run_result = run_here(plan, concurrency=1)
    rows = invariants().check()
    (failed,) = by_state(rows, TrialState.FAILED)
    assert (failed.cause, failed.attempt) == ("worker_lost", 3)
    assert len(by_state(rows, TrialState.COMPLETE)) == sum(cell.planned for cell in plan.cells) - 1
    assert (run_result.state, run_result.failed, run_result.retried) == ("finished", 1, 2)
    assert "died" in failed.error
    assert "Traceback" not in failed.error


def test_a_killed_worker_costs_one_attempt(with_trap, run_here, invariants, tmp_path):
    """If a worker dies once, its trial completes on attempt 2 with the values of a fault-free run."""
    plan = with_trap(abort, times=1)
    run_here(plan, concurrency=1)
    rows = invariants().check(plan=plan)
    assert sorted(row.attempt for row in rows)[-2:] == [1, 2]
    (tmp_path / "whole").mkdir()
    run_here(plan, root=tmp_path / "whole")
    invariants().check(reference=invariants(tmp_path / "whole").check(plan=plan))


def test_out_of_memory_is_retried_with_smaller_chunks(with_trap, run_here, invariants, tmp_path):
    """If a trial runs out of memory twice, it completes on attempt 3 with the values of a fault-free run."""
    plan = with_trap(run_out_of_memory, times=2)
    run_here(plan, concurrency=1)
    rows = invariants().check(plan=plan)
    assert max(row.attempt for row in rows) == 3
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db", read_only=True) as ledger:
        assert ledger.trials.retries("quick") == {("phase2", "digits8/siren", "oom"): 2}
    (tmp_path / "whole").mkdir()
    run_here(plan, root=tmp_path / "whole")
    invariants().check(reference=invariants(tmp_path / "whole").check(plan=plan))


def test_a_temporary_machine_error_costs_only_attempts(with_trap, run_here, invariants, tmp_path, monkeypatch):
    """If a mounted disk fails three times, the affected trial completes on attempt 4.

    All other trials complete on attempt 1.
    """
    monkeypatch.setitem(RULES, "machine", replace(RULES["machine"], pause_s=1.0))
    plan = with_trap(lose_a_mount, times=3)
    run_result = run_here(plan, concurrency=1)
    rows = invariants().check(plan=plan)
    assert (run_result.state, run_result.failed, run_result.retried) == ("finished", 0, 3)
    assert sorted(row.attempt for row in rows)[-2:] == [1, 4]
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db", read_only=True) as ledger:
        assert ledger.trials.retries("quick") == {("phase2", "digits8/siren", "machine"): 3}


def test_a_broken_machine_aborts_the_study_and_the_next_run_completes_it(with_trap, run_here, invariants, monkeypatch):
    """If a trial exhausts its attempts because of machine errors, the study is aborted.

    The trial is FAILED with cause `machine`. Rerunning the command completes the study.
    """
    monkeypatch.setitem(RULES, "machine", replace(RULES["machine"], pause_s=0.1, attempts=3))
    plan = with_trap(lose_a_mount, times=3)
    with pytest.raises(StudyStopped, match=r"1 trials .*\(machine: .*Input/output error"):
        run_here(plan, max_equal_failures=1, concurrency=1)
    (failed,) = by_state(invariants().rows(), TrialState.FAILED)
    assert (failed.cause, failed.attempt) == ("machine", 3)
    assert run_here(plan).state == "finished"
    invariants().check(plan=plan)


def test_bad_data_stops_its_cell_and_a_later_run_completes_it(with_trap, run_here, invariants, tmp_path):
    """Bad data stops only the affected cell.

    Once the data is readable, rerunning the command completes the study.
    """
    plan = with_trap(read_bad_data, times=1)
    with pytest.raises(StudyStopped, match=r"phase2 digits8/siren .*file x is torn"):
        run_here(plan, concurrency=1)
    rows = invariants().check()
    assert {row.cause for row in by_state(rows, TrialState.FAILED)} == {"bad_data"}
    assert {row.state for row in rows if row.cell == "digits8/rffnet"} == {TrialState.COMPLETE}
    assert run_here(plan).state == "finished"
    invariants().check(plan=plan)


def test_equal_bugs_abort_the_study(with_trap, run_here, invariants):
    """With `max_equal_failures=1`, the first bug aborts the study, and no further trial starts.

    Rerunning the command runs the remaining trials.
    """
    plan = with_trap(trip_over_a_bug, times=1)
    with pytest.raises(StudyStopped, match=r"1 trials .* \(bug: KeyError: 'no such column'\)"):
        run_here(plan, max_equal_failures=1, concurrency=1)
    rows = invariants().check()
    assert len(by_state(rows, TrialState.FAILED)) == 1
    assert len(rows) < sum(cell.planned for cell in plan.cells)
    run_here(plan)
    assert len(invariants().check()) == sum(cell.planned for cell in plan.cells)


def test_a_diverged_fit_fails_only_its_trial(quick_plan, run_here, invariants):
    """Trials with a learning rate of 1e9 are recorded as FAILED with cause `diverged`.

    The other cell completes.
    """
    plan = quick_plan()
    space = {"init": Categorical(("shared",)), "steps": Categorical((30,))}
    wild = replace(plan.cells[0], field="mfn", space=space, fixed={**GRID_FIXED["mfn"], "hidden": 4, "lr": 1e9})
    run_here(replace(plan, cells=(wild, plan.cells[1])))
    rows = invariants().check()
    assert {row.cause for row in by_state(rows, TrialState.FAILED)} == {"diverged"}
    assert {row.cell for row in by_state(rows, TrialState.COMPLETE)} == {"digits8/rffnet"}


def test_a_worker_with_other_versions_is_refused(quick_plan, run_here, invariants, monkeypatch):
    """If worker and driver have different versions of a library, trials fail with an error that names both versions."""
    from nefstudy.study.driver import session
    from nefstudy.trial.assignment import TrialSetup
    from nefstudy.trial.provenance import versions_here

    others = versions_here() | {"torch": "0.0.1"}
    monkeypatch.setattr(session, "TrialSetup", lambda **given: TrialSetup(**given, versions=others))
    with pytest.raises(StudyStopped, match=r"torch .*driver: 0\.0\.1\).*constraints"):
        run_here(quick_plan(), max_equal_failures=1)
    assert {row.cause for row in by_state(invariants().check(), TrialState.FAILED)} == {"worker_lost"}


def test_a_full_disk_aborts_the_study_and_free_space_continues_it(quick_plan, run_here, invariants, tmp_path):
    """If no file can be written, the study is aborted with cause `disk`.

    Once files can be written again, rerunning the command completes the study.
    """
    blocked = tmp_path / "neural_datasets"
    blocked.write_text("a file where a directory must be")
    with pytest.raises(StudyStopped, match=r"\(disk: "):
        run_here(quick_plan(), max_equal_failures=3)
    rows = invariants().rows()
    assert {row.cause for row in by_state(rows, TrialState.FAILED)} == {"disk"}
    Path(blocked).unlink()
    run_here(quick_plan())
    invariants().check(plan=quick_plan())
