"""A small grid, a real ledger, and a driver that does not use Ray."""

from collections.abc import Callable
from typing import Any

import pytest

from nefstudy.config import SignalsConfig
from nefstudy.ledger import Ledger, Owner
from nefstudy.study.driver.run import StudyRun
from nefstudy.study.plan.study_plan import CellPlan, StudyPlan
from nefstudy.study.space import GRID_FIXED, INIT, Categorical
from nefstudy.tasks.result import TrialResult


@pytest.fixture
def small_grid() -> CellPlan:
    """Return a grid of four ladders with three rungs each."""
    return CellPlan(
        phase="phase2",
        signals=SignalsConfig(name="digits8"),
        field="siren",
        space={"init": INIT, "hidden": Categorical((8, 16)), "steps": Categorical((1, 2, 4))},
        fixed=GRID_FIXED["siren"],
    )


@pytest.fixture
def ledger(tmp_path):
    """Yield a new ledger for each test."""
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db") as book:
        yield book


@pytest.fixture
def open_run() -> Callable[..., StudyRun]:
    """Return a function that acquires the lease of a study and opens a run of it, as a driver does."""

    def open_one(ledger: Ledger, plan: StudyPlan, **more: Any) -> StudyRun:
        ledger.studies.put(plan.study, {}, cells=plan.records())
        lease = ledger.leases.acquire(plan.study, Owner.current())
        ledger.trials.interrupt(plan.study)
        return StudyRun(plan, ledger=ledger, lease=lease, **more)

    return open_one


@pytest.fixture
def result() -> Callable[[float], TrialResult]:
    """Return a function that makes a trial result with the given accuracy."""

    def of(value: float) -> TrialResult:
        metrics = {"val_accuracy": value, "test_accuracy": value, "all_psnr": 20.0}
        return TrialResult(metrics=metrics, curves={}, artifacts={}, fingerprint={})

    return of


@pytest.fixture
def drain(result) -> Callable[..., list[str]]:
    """Return a function that runs all trials, several at a time, and returns their keys in start order."""

    def run_all(run: StudyRun, *, slots: int = 2) -> list[str]:
        keys: list[str] = []
        while not (run.exhausted and not run.in_flight):
            while len(run.in_flight) < slots:
                suggestion = run.next(f"t{len(keys)}")
                if suggestion is None:
                    break
                keys.append(suggestion.trial.key)
            first = next(iter(run.in_flight), None)
            if first is None:
                break
            run.started(first)
            run.completed(first, result((int(run.in_flight[first].suggestion.trial.key[:4], 16) % 100) / 100))
        return keys

    return run_all


@pytest.fixture
def started(ledger, small_grid, open_run, tmp_path):
    """Return a run of the small grid whose plan is recorded in the ledger with `keep` set to `best:1`."""
    plan = StudyPlan(study="s", cells=(small_grid,))
    run = open_run(ledger, plan)
    ledger.studies.put("s", plan.describe() | {"keep": "best:1"}, cells=plan.records())
    return run
