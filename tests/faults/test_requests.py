"""Tests of requests that need too much memory and of trials that never end.

The study continues without them.
"""

import os
from dataclasses import dataclass, replace

import psutil
import pytest

from nefstudy.classifiers.catalog import CLASSIFIERS
from nefstudy.classifiers.networks.mlp import Mlp
from nefstudy.config import ClassifierConfig
from nefstudy.ledger import Ledger
from nefstudy.study.driver.watchdog import Watchdog
from nefstudy.study.space import Categorical

from ..ledger.records import as_cells
from .processes import wait_until

pytestmark = [pytest.mark.fault, pytest.mark.ray, pytest.mark.slow, pytest.mark.nightly, pytest.mark.timeout(1200)]


@pytest.fixture
def with_loop(quick_plan, tmp_path):
    """Return a plan with a classifier that loops endlessly, and the file to which it writes its process id.

    The loop is in C code that does not release the GIL.
    """
    pid_file = tmp_path / "pid"

    @dataclass(frozen=True)
    class Loop:
        """A classifier whose constructor never returns."""

        width: int = 8

        def build(self, field, classes):
            pid_file.write_text(str(os.getpid()))
            pow(3, 1 << 200_000, (1 << 500_000) - 1)  # one call of C code that holds the interpreter for hours
            return Mlp(width=self.width, depth=1).build(field, classes)

    plan = quick_plan()
    quick, loop = plan.cells[0].classifier, ClassifierConfig(name="loop", params={"width": 8}, epochs=1)
    space = {
        "init": Categorical(("shared",)),
        "steps": Categorical((1, 2)),
        "classifier": Categorical(("loop", "quick")),
    }
    cell = replace(
        plan.cells[0],
        space=space,
        fixed={**plan.cells[0].fixed, "hidden": 4},
        classifiers={"quick": quick, "loop": loop},
    )
    plan = replace(plan, cells=(cell,), classifiers={**CLASSIFIERS, "loop": Loop})
    return plan, pid_file


def states(rows) -> dict:
    return {
        (row.parameters["classifier"], row.parameters["steps"]): (str(row.state), row.cause, row.attempt)
        for row in rows
    }


def test_a_loop_in_c_code_times_out_and_its_process_is_killed(with_loop, run_here, invariants):
    """A trial that no signal or exception can stop fails on attempt 1 when it times out.

    The driver kills the trial's process. Every other trial completes.
    """
    plan, pid_file = with_loop
    run_here(plan, concurrency=1, max_trial_hours=30 / 3600)
    assert states(invariants().rows()) == {
        ("loop", 1): ("FAILED", "timeout", 1),
        ("loop", 2): ("FAILED", "timeout", 1),
        ("quick", 1): ("COMPLETE", None, 1),
        ("quick", 2): ("COMPLETE", None, 1),
    }
    wait_until(lambda: not psutil.pid_exists(int(pid_file.read_text())), "the end of the process", timeout=60)


@pytest.mark.parametrize("workers", [0, 1], ids=["trial-actor", "train-worker"])
def test_a_running_trial_is_withdrawn(with_loop, run_here, invariants, monkeypatch, workers):
    """Withdrawing a trial kills its process even if the trial is in an endless loop.

    The trial is recorded as withdrawn, and the study ends.
    """
    plan, pid_file = with_loop
    withdrawn = []
    step = Watchdog.step

    def withdraw_once(self):
        for trial in self._run.in_flight.values():
            s = trial.suggestion
            if s.trial.classifier.name == "loop" and pid_file.exists() and s.trial.key not in withdrawn:
                withdrawn.append(s.trial.key)
                self._run.ledger.commands.append("quick", "withdraw", body={"key": s.trial.key})
        step(self)

    monkeypatch.setattr(Watchdog, "step", withdraw_once)
    run_here(plan, concurrency=1, workers=workers)
    assert states(invariants().rows()) == {
        ("loop", 1): ("FAILED", "withdrawn", 1),
        ("loop", 2): ("FAILED", "withdrawn", 1),
        ("quick", 1): ("COMPLETE", None, 1),
        ("quick", 2): ("COMPLETE", None, 1),
    }
    wait_until(lambda: not psutil.pid_exists(int(pid_file.read_text())), "the end of the process", timeout=60)


def test_a_request_for_terabytes_is_refused_and_the_study_ends(quick_plan, run_here, invariants, tmp_path):
    """The driver refuses an enqueued trial that would need terabytes, and then completes the grid."""
    plan = quick_plan()
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        ledger.studies.put("quick", {}, cells=as_cells(plan.planned()))
        body = {"phase": "phase2", "cell": "digits8/siren"}
        point = {"init": "shared", "steps": 2, "hidden": 4096, "views": 1000}
        request = ledger.commands.append("quick", "enqueue", body={**body, "point": point})
        run_here(plan)
        (outcome,) = (command.outcome for command in ledger.commands.latest("quick") if command.id == request.id)
    assert outcome is not None
    assert outcome.startswith("refused: enqueue")
    assert "GB, " in outcome
    invariants().check(plan=plan)
