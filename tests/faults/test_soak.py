"""A soak test of a study under six kinds of repeated faults.

Each kind occurs once per round. The faults take four minutes unless NEF_SOAK_S sets more: `NEF_SOAK_S=14400 make
faults PYTEST_ARGS="-k soak"`.
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
from nefstudy.study.cluster.ray_directory import sweep_rays
from nefstudy.tracking.export import drain

from ..e2e.ray_head import free_ports
from ..plugins.mlflow_server import MlflowServer
from ..plugins.postgres import Postgres
from .driver import NO_MLFLOW, PROJECT, Driver
from .network import Network
from .processes import below, wait_until
from .rerun import Rerun, shuffled_rounds

SOAK_S = float(os.environ.get("NEF_SOAK_S", "240"))
EVERY_S = 15.0

pytestmark = [
    *(pytest.mark.fault, pytest.mark.ray, pytest.mark.postgres, pytest.mark.mlflow, pytest.mark.slow),
    *(pytest.mark.nightly, pytest.mark.timeout(2 * SOAK_S + 1200)),
]


@dataclass
class Soak:
    """A running study, and the faults that can be injected into it."""

    rerun: Rerun
    postgres: Postgres
    server: MlflowServer
    to_mlflow: Network
    struck: list[str] = field(default_factory=list)

    @property
    def driver(self) -> Driver:
        return self.rerun.driver

    def kill_driver(self) -> None:
        self.driver.kill()
        assert self.driver.end() in (-signal.SIGKILL, 0), self.driver.output()

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
    """A running status service, with measurements of its open file descriptors and memory."""

    process: psutil.Process
    address: str
    held: list[tuple[int, int]] = field(default_factory=list)

    def look(self) -> None:
        for _ in range(20):
            with suppress(OSError), urlopen(f"{self.address}/v1/studies", timeout=10) as answer:
                answer.read()
        self.held.append((self.process.num_fds(), self.process.memory_info().rss))

    def check(self) -> None:
        """Check that open files and memory grew only slightly between the first and last third of the measurements."""
        third = len(self.held) // 3
        (files, memory), (files_then, memory_then) = (
            tuple(max(values) for values in zip(*looks, strict=True))
            for looks in (self.held[-third:], self.held[:third])
        )
        assert files <= files_then + 8
        assert memory <= memory_then + 30 * 2**20


@pytest.fixture
def service(postgres, tmp_path):
    """Start `nefstudy serve` on a new database."""
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
    """Remove directories of dead Ray instances as the next driver would; return whether none remains."""
    sweep_rays()
    return set(Path(tempfile.gettempdir()).glob("nef-*")) <= before


def test_a_study_under_repeated_faults_loses_and_leaks_nothing(
    *,
    service,
    postgres,
    mlflow_server,
    start_driver,
    invariants,
    quick_plan,
    moment,
    tmp_path,
):
    """Under repeated faults, the study's grid completes with the values of a fault-free run.

    MLflow has one run per trial, and no directory of a dead Ray instance is left. The service, whose ledger died
    repeatedly, has not grown in open files or memory.
    """
    before = set(Path(tempfile.gettempdir()).glob("nef-*"))
    mlflow = mlflow_server()
    target = urlsplit(mlflow)
    with Network((target.hostname, target.port)) as to_mlflow:
        through = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{to_mlflow.port}"}
        rerun = Rerun(partial(start_driver, ledger=postgres.url("soak"), **through))
        soak = Soak(rerun, postgres, mlflow_server, to_mlflow)
        kinds = [soak.kill_driver, soak.kill_worker, soak.kill_worker, soak.kill_mlflow, soak.kill_ledger]
        kinds.append(soak.cut_mlflow)
        soak.driver.wait_for(3)
        end = time.monotonic() + SOAK_S
        for strike in shuffled_rounds(kinds, moment):
            if time.monotonic() > end and len(soak.struck) >= len(kinds):
                break
            time.sleep(moment.uniform(0.5, 1.5) * EVERY_S)
            soak.struck.append(strike.__name__)
            strike()
            rerun.restart_if_ended()
            service.look()
        print(soak.struck, service.held)  # noqa: T201  # pytest shows it when the test fails
        rerun.finish()
        assert "Traceback" not in (tmp_path / "driver.log").read_text()
    whole = tmp_path / "whole"
    whole.mkdir()
    alone = start_driver("--replicates", rerun.replicates, root=whole, **NO_MLFLOW)
    assert alone.end(1200) == 0, alone.output()
    plan = quick_plan(replicates=rerun.replicates)
    with Ledger.open(postgres.url("soak")) as ledger:
        assert drain(ledger, root=str(tmp_path), tracking_uri=mlflow) == 0
    reference = invariants(whole).check(plan=plan)
    shutil.rmtree(whole)
    invariants(ledger=postgres.url("soak")).check(plan=plan, reference=reference, mlflow=True)
    wait_until(lambda: swept(before), "the removal of the directories of dead Rays", timeout=60)
    service.check()
