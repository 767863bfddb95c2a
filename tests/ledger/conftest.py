"""Fixtures for ledgers in SQLite files and on a PostgreSQL server, and for trials in them."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from nefstudy.ledger import Ledger, Owner
from nefstudy.tasks.classification import ClassificationConfig

from ..plugins.postgres import Postgres
from .records import as_cells, as_record, make_trial


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the address of an empty database; each test runs with SQLite and with PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.db"
    server: Postgres = request.getfixturevalue("postgres")
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return server.url("postgres")


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    """Yield an open ledger that contains the study `digits`; each test runs with SQLite and with PostgreSQL."""
    with Ledger.open(url, timeout_s=5.0) as ledger:
        ledger.studies.put("digits", {}, cells=as_cells({("phase1", "digits8/siren"): 4}))
        yield ledger


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Ledger]:
    """Yield an open SQLite ledger that contains the study `digits`, for tests in which the database does not matter."""
    with Ledger.open(str(tmp_path / "ledger.db"), timeout_s=5.0) as ledger:
        ledger.studies.put("digits", {}, cells=as_cells({("phase1", "digits8/siren"): 4}))
        yield ledger


@pytest.fixture
def owner() -> Owner:
    return Owner.current()


@pytest.fixture
def elsewhere(owner: Owner) -> Owner:
    """Return a lease owner on another machine, whose process cannot be looked up from this machine."""
    return replace(owner, host="node-2", boot_id="another-kernel", pid_namespace="pid:[1]")


@pytest.fixture
def trial() -> Callable[..., ClassificationConfig]:
    """Return a function that makes a trial."""
    return make_trial


@pytest.fixture
def finish(trial: Callable[..., ClassificationConfig]) -> Callable[..., ClassificationConfig]:
    """Return a function that requests, starts and completes a trial with the given metrics."""

    def run(
        ledger: Ledger, seed: int = 0, *, phase: str = "phase1", study: str = "digits", **options: Any
    ) -> ClassificationConfig:
        metrics = options.pop("metrics", {"val_accuracy": seed / 100, "all_psnr": 20.0 + seed})
        made = trial(seed, **options)
        token = ledger.trials.request(study, phase, record=as_record(made))
        ledger.trials.start(study, phase, key=made.key, token=token)
        ledger.trials.complete(study, phase, key=made.key, token=token, metrics=metrics)
        return made

    return run
