"""A small grid, a real ledger, and a driver's turns without Ray."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nefstudy.config import SignalsConfig
from nefstudy.ledger import Ledger, NeuralDatasetRow, Owner
from nefstudy.paths import dataset_path, manifest_path
from nefstudy.study.plan import CellPlan, StudyPlan
from nefstudy.study.run import StudyRun
from nefstudy.study.space import GRID_FIXED, INIT, Choice
from nefstudy.tasks.result import TrialResult


@pytest.fixture
def small_grid() -> CellPlan:
    """Four ladders of three rungs each."""
    return CellPlan(
        phase="phase2",
        signals=SignalsConfig(name="digits8"),
        field="siren",
        space={"init": INIT, "hidden": Choice((8, 16)), "steps": Choice((1, 2, 4))},
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
        ledger.studies.put(plan.study, {}, cells=plan.records())
        lease = ledger.leases.acquire(plan.study, Owner.here())
        ledger.trials.interrupt(plan.study)
        return StudyRun(plan, ledger=ledger, lease=lease, **more)

    return open_one


@pytest.fixture
def result() -> Callable[[float], TrialResult]:
    """A trial's result of a given accuracy."""

    def of(value: float) -> TrialResult:
        metrics = {"val_accuracy": value, "test_accuracy": value, "all_psnr": 20.0}
        return TrialResult(metrics=metrics, curves={}, artifacts={}, fingerprint={}, dataset="d", fitted=False)

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


@pytest.fixture
def started(ledger, small_grid, open_run, tmp_path):
    """A run of the small grid, described in the ledger, and a function that ends trials with a value."""
    plan = StudyPlan(study="s", cells=(small_grid,))
    run = open_run(ledger, plan)
    ledger.studies.put("s", plan.describe() | {"keep": "best:1"}, cells=plan.records())
    return run


def finish(run, ledger, root, result, *, most: int = 1000) -> list[tuple[str, float]]:
    """Run trials one by one; each dataset is put there by its first: (dataset, accuracy) in order."""
    seen = []
    while len(seen) < most and (suggestion := run.next("t")) is not None:
        (digest,) = suggestion.datasets
        if digest not in {dataset for dataset, _ in seen}:
            put(ledger, root, digest)
        value = (int(suggestion.trial.key[:6], 16) % 1000) / 1000
        run.completed("t", result(value))
        seen.append((digest, value))
    return seen


def put(ledger: Ledger, root: Path, digest: str, *, size: int = 100) -> None:
    """A neural dataset as far as dropping it goes: a manifest, a shard, a row."""
    for path in (manifest_path(digest), f"{dataset_path(digest)}/rung-00000004/shard-00000.arrow"):
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x" * (size // 2))
    ledger.datasets.put(NeuralDatasetRow(digest, dataset_path(digest), rungs=(4,), bytes=size, fingerprint={}))


def make_old(url: str, study: str, *, cell: str | None = None) -> str:
    """Give a study, or a cell of its plan, a name that an older version accepted; returns the study's name."""
    name = study if cell else "gr\u00f6\u00dfe"
    with sqlite3.connect(url.removeprefix("sqlite:///")) as database:
        if cell:
            ((text,),) = database.execute("SELECT plan FROM studies WHERE study = ?", (study,))
            told = json.loads(text)
            told["cells"][0]["cell"] = cell
            database.execute("UPDATE studies SET plan = ? WHERE study = ?", (json.dumps(told), study))
            return name
        tables = [table for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            if any(column[1] == "study" for column in database.execute(f"PRAGMA table_info({table})")):
                database.execute(f"UPDATE {table} SET study = ? WHERE study = ?", (name, study))
    database.close()
    return name
