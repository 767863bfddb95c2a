"""A study under one fault after another: driver, worker, MLflow and ledger die, each kind in every round of six.

Four minutes of faults unless NEF_SOAK_S asks for more: `NEF_SOAK_S=14400 make faults PYTEST_ARGS="-k soak"`.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import psutil
import psycopg
import pytest

from nefstudy.ledger import Ledger
from nefstudy.study.ray_folder import sweep_rays
from nefstudy.tracking import drain

from ..e2e.ray_head import free_ports
from ..tracking.conftest import empty_store, root, server  # noqa: F401  # fixtures
from .conftest import NO_MLFLOW, PROJECT, Driver
from .network import Network
from .processes import below, wait_until
from .rerun import Rerun, dealt

SOAK_S = float(os.environ.get("NEF_SOAK_S", "240"))
EVERY_S = 15.0

pytestmark = [
    *(pytest.mark.fault, pytest.mark.ray, pytest.mark.postgres, pytest.mark.mlflow, pytest.mark.slow),
    *(pytest.mark.nightly, pytest.mark.timeout(2 * SOAK_S + 1200)),
]


@dataclass
class Soak:
    """A study that runs, and what can die of it."""

    rerun: Rerun
    postgres: object
    server: object
    to_mlflow: Network
    struck: list[str] = field(default_factory=list)

    @property
    def driver(self) -> Driver:
        return self.rerun.driver

    def kill_driver(self) -> None:
        self.driver.kill()
        assert self.driver.end() in (-signal.SIGKILL, 0), self.driver.said()

    def kill_worker(self) -> None:
        with suppress(psutil.NoSuchProcess):
            for worker in below(self.driver.process.pid, "ray::ImplicitFunc")[:1]:
                worker.kill()

    def kill_mlflow(self) -> None:
        self.server.kill()
        time.sleep(EVERY_S / 2)
        self.server()

    def kill_ledger(self) -> None:
        self.postgres.stop(signal.SIGQUIT)
        time.sleep(5)
        self.postgres.start()

    def cut_mlflow(self) -> None:
        self.to_mlflow.cut()


@dataclass
class Watched:
    """The status service, which lives through it all, and what it held at each look."""

    process: psutil.Process
    address: str
    held: list[tuple[int, int]] = field(default_factory=list)

    def look(self) -> None:
        for _ in range(20):
            with suppress(OSError), urlopen(f"{self.address}/v1/studies", timeout=10) as answer:
                answer.read()
        self.held.append((self.process.num_fds(), self.process.memory_info().rss))

    def check(self) -> None:
        """What it held in the last third of its looks is what it held in the first, within what Python keeps back."""
        third = len(self.held) // 3
        (files, memory), (files_then, memory_then) = (
            tuple(max(values) for values in zip(*looks, strict=True))
            for looks in (self.held[-third:], self.held[:third])
        )
        assert files <= files_then + 8
        assert memory <= memory_then + 30 * 2**20


@pytest.fixture
def service(postgres, tmp_path):
    """`nefstudy serve` on a ledger of its own database."""
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE soak")
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "nefstudy", "serve", "--root", str(tmp_path), "--port", str(port)]
    with (tmp_path / "service.log").open("w") as log:
        options = {"cwd": PROJECT, "stdout": log, "stderr": log}
        process = subprocess.Popen([*command, "--ledger", postgres.url("soak")], **options)
    yield Watched(psutil.Process(process.pid), f"http://127.0.0.1:{port}")
    process.terminate()
    process.wait(30)


def swept(before: set[Path]) -> bool:
    """Return whether no directory of a dead Ray is left once it is swept as the next driver does."""
    sweep_rays()
    return set(Path(tempfile.gettempdir()).glob("nef-*")) <= before


def test_a_study_soaked_in_faults_loses_nothing_and_grows_nothing(
    *,
    service,
    postgres,
    server,  # noqa: F811
    start_driver,
    invariants,
    quick_plan,
    moment,
    tmp_path,
):
    """At its end the grid is whole with the values of a run without a fault, MLflow has a run each, no directory of a
    dead Ray is left, and the service, whose ledger died again and again, holds the files and memory of its start.
    """
    before = set(Path(tempfile.gettempdir()).glob("nef-*"))
    mlflow = server()
    target = urlsplit(mlflow)
    with Network((target.hostname, target.port)) as to_mlflow:
        through = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{to_mlflow.port}"}
        rerun = Rerun(partial(start_driver, ledger=postgres.url("soak"), **through))
        soak = Soak(rerun, postgres, server, to_mlflow)
        kinds = [soak.kill_driver, soak.kill_worker, soak.kill_worker, soak.kill_mlflow, soak.kill_ledger]
        kinds.append(soak.cut_mlflow)
        soak.driver.wait_for(3)
        end = time.monotonic() + SOAK_S
        for strike in dealt(kinds, moment):
            if time.monotonic() > end and len(soak.struck) >= len(kinds):
                break
            time.sleep(moment.uniform(0.5, 1.5) * EVERY_S)
            soak.struck.append(strike.__name__)
            strike()
            rerun.go_on()
            service.look()
        print(soak.struck, service.held)  # noqa: T201  # pytest shows it when the test fails
        rerun.finish()
        assert "Traceback" not in (tmp_path / "driver.log").read_text()
    whole = tmp_path / "whole"
    whole.mkdir()
    alone = start_driver("--replicates", rerun.replicates, root=whole, **NO_MLFLOW)
    assert alone.end(1200) == 0, alone.said()
    plan = quick_plan(replicates=rerun.replicates)
    with Ledger.open(postgres.url("soak")) as ledger:
        assert drain(ledger, root=str(tmp_path), tracking_uri=mlflow) == 0
    reference = invariants(whole).check(plan=plan)
    shutil.rmtree(whole)
    invariants(ledger=postgres.url("soak")).check(plan=plan, reference=reference, mlflow=True)
    wait_until(lambda: swept(before), "the end of what Rays that died left behind", timeout=60)
    service.check()
