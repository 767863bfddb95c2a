"""Fixtures of the fault tests.

They check a study's invariants and run quick studies in this process or in child processes.
"""

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from nefstudy.cli.options import load_script
from nefstudy.study.locations import Locations
from nefstudy.study.options import StudyOptions
from nefstudy.study.plan.study_plan import StudyPlan

from .driver import NO_MLFLOW, PROJECT, SCRIPT, SLOW_SCRIPT, Driver, begin_driver
from .invariants import Invariants


@pytest.fixture
def invariants(tmp_path: Path) -> Callable[..., Invariants]:
    """Return a function that creates `Invariants` for the study in a root, by default the test's directory."""
    return lambda root=tmp_path, **options: Invariants(Path(root), **options)


@pytest.fixture(scope="session")
def quick_plan() -> Callable[..., StudyPlan]:
    """Return a function that makes the quick study's plan from options and fills in the data's content hashes."""
    make = load_script(str(PROJECT / SCRIPT))
    return lambda **options: make(StudyOptions(**({"study": "quick"} | options))).pinned()


@pytest.fixture
def moment(request: pytest.FixtureRequest) -> random.Random:
    """Return the random generator that chooses the moments of faults, seeded from NEF_FAULT_SEED or the clock.

    If a test fails, the seed is printed.
    """
    seed = int(os.environ.get("NEF_FAULT_SEED", time.time_ns() % 10**6))
    request.node.user_properties.append(("fault seed", seed))
    print(f"NEF_FAULT_SEED={seed}")  # noqa: T201  # pytest shows it when the test fails
    return random.Random(seed)


@pytest.fixture(scope="session")
def own_ray() -> Iterator[None]:
    """Start a local Ray instance shared by all studies that run in this process."""
    from nefstudy.study.cluster.connection import connected_ray

    with connected_ray():
        yield


@pytest.fixture
def run_here(tmp_path: Path, own_ray: None) -> Callable[..., object]:
    """Return a function that runs a plan in this process and returns its result.

    By default, MLflow is not used.
    """
    from nefstudy.study.driver.session import run_study

    def run(plan: StudyPlan, *, root: Path = tmp_path, mlflow: str = "", **changes: Any) -> object:
        locations = Locations(str(root), f"sqlite:///{root}/ledger.db", mlflow)
        with (root / "output.txt").open("a") as output:
            options = replace(StudyOptions(), **changes)
            return run_study(plan, options, locations=locations, console=Console(file=output, width=200))

    return run


@pytest.fixture
def start_driver(tmp_path: Path) -> Iterator[Callable[..., Driver]]:
    """Return a function that starts a driver process, by default of the quick study.

    A process that is still running after the test is killed.
    """
    started: list[Driver] = []

    def start(*arguments: object, root: Path = tmp_path, **options: Any) -> Driver:
        started.append(begin_driver(*arguments, root=root, **options))
        return started[-1]

    yield start
    for driver in started:
        if driver.process.poll() is None:
            os.killpg(driver.process.pid, signal.SIGKILL)
            driver.process.wait()


@pytest.fixture(scope="session")
def unharmed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the root of a fault-free run of the slow study's four trials."""
    root = tmp_path_factory.mktemp("unharmed")
    driver = begin_driver("--replicates", 4, root=root, script=SLOW_SCRIPT, **NO_MLFLOW)
    assert driver.end(300) == 0, driver.output()
    return root
