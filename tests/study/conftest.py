"""A small grid, a real ledger, and a driver's turns without Ray."""

from collections.abc import Callable
from typing import Any

import pytest

from nefstudy.config import SignalsConfig
from nefstudy.ledger import Ledger, Owner
from nefstudy.study.plan import CellPlan, StudyPlan
from nefstudy.study.run import StudyRun
from nefstudy.study.space import GRID_FIXED, STARTS, Choice
from nefstudy.trial.result import TrialResult


@pytest.fixture
def small_grid() -> CellPlan:
    """Four ladders of three rungs each."""
    return CellPlan(
        phase="phase2",
        signals=SignalsConfig(name="digits8"),
        field="siren",
        space={"start": STARTS, "hidden": Choice((8, 16)), "steps": Choice((1, 2, 4))},
        fixed=GRID_FIXED["siren"],
    )


@pytest.fixture
def ledger(tmp_path):
    """A ledger of its own for each test."""
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db") as book:
        yield book


@pytest.fixture
def open_run() -> Callable[..., StudyRun]:
    """Take the study and begin a run of it, as a driver does."""

    def open_one(ledger: Ledger, plan: StudyPlan, **more: Any) -> StudyRun:
        ledger.put_study(plan.study, {}, planned=plan.planned())
        lease = ledger.acquire(plan.study, Owner.here())
        ledger.interrupt(plan.study)
        return StudyRun(plan, ledger=ledger, lease=lease, **more)

    return open_one


@pytest.fixture
def result() -> Callable[[float], TrialResult]:
    """A trial's result of a given accuracy."""

    def of(value: float) -> TrialResult:
        metrics = {"val_accuracy": value, "test_accuracy": value, "all_psnr": 20.0}
        return TrialResult(metrics=metrics, curves={}, artefacts={}, fingerprint={}, dataset="d", fitted=False)

    return of


@pytest.fixture
def drain(result) -> Callable[..., list[str]]:
    """Run everything with some trials always under way; gives keys in the order they were handed out."""

    def run_all(run: StudyRun, *, slots: int = 2) -> list[str]:
        keys: list[str] = []
        while not (run.exhausted and not run.under_way):
            while len(run.under_way) < slots:
                suggestion = run.next(f"t{len(keys)}")
                if suggestion is None:
                    break
                keys.append(suggestion.trial.key)
            first = next(iter(run.under_way), None)
            if first is None:
                break
            run.started(first)
            run.completed(first, result((int(run.under_way[first].suggestion.trial.key[:4], 16) % 100) / 100))
        return keys

    return run_all
