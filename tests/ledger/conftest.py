"""Ledgers on both databases: SQLite files, and a PostgreSQL server started for the session."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import pytest

from nefstudy.config import FieldConfig, NeuralDatasetConfig, OptimizerConfig, SignalsConfig
from nefstudy.ledger import Ledger, Owner
from nefstudy.tasks.classification import ClassificationConfig

from .records import as_cells, as_record


@dataclass(frozen=True)
class Postgres:
    """A throw-away PostgreSQL server that listens on a socket only."""

    bin: Path
    home: Path

    @property
    def pid(self) -> int:
        return int((self.home / "data" / "postmaster.pid").read_text().splitlines()[0])

    def url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self.home}"

    def run(self, program: str, *arguments: str) -> None:
        command = [str(self.bin / program), *arguments]
        if os.getuid() == 0:  # PostgreSQL refuses to run as root
            command = ["runuser", "-u", "postgres", "--", *command]
        subprocess.run(command, check=True, cwd=self.home, stdout=subprocess.DEVNULL, timeout=60)

    def start(self) -> None:
        # without fsync a killed server still recovers; only a power loss would not
        options = f"-k {self.home} -c listen_addresses='' -c shared_buffers=32MB -c fsync=off"
        log = str(self.home / "log")
        self.run("pg_ctl", "start", "-w", "-D", str(self.home / "data"), "-l", log, "-o", options)

    def stop(self, how: signal.Signals) -> None:
        """SIGINT ends it cleanly, SIGQUIT at once, as `pg_ctl stop -m fast|immediate` do."""
        pid = self.pid
        os.kill(pid, how)
        deadline = time.monotonic() + 30
        while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
            time.sleep(0.05)


@contextmanager
def postgres_server() -> Iterator[Postgres]:
    """A throw-away PostgreSQL server.

    Raises:
        FileNotFoundError: none is installed.
    """
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if not found:
        raise FileNotFoundError("no PostgreSQL server: apt-get install postgresql")
    home = Path(tempfile.mkdtemp(prefix="nefpg", dir="/tmp"))  # a socket's path must stay short
    if os.getuid() == 0:
        shutil.chown(home, "postgres")
    server = Postgres(found[-1], home)
    try:
        server.run(
            "initdb", "-E", "UTF8", "--locale=C.UTF-8", "-U", "postgres", "-A", "trust", "-D", str(home / "data")
        )
        server.start()
        yield server
        server.stop(signal.SIGINT)
    finally:
        shutil.rmtree(home)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with ExitStack() as stack:
        try:
            server = stack.enter_context(postgres_server())
        except FileNotFoundError as error:
            pytest.skip(str(error))
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database that does not hold a ledger yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.db"
    server: Postgres = request.getfixturevalue("postgres")
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return server.url("postgres")


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    """An open ledger with the study `digits` in it, on either database."""
    with Ledger.open(url, patience_s=5.0) as ledger:
        ledger.studies.put("digits", {}, cells=as_cells({("phase1", "digits8/siren"): 4}))
        yield ledger


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Ledger]:
    """An open ledger with the study `digits` in it, where the database does not matter."""
    with Ledger.open(str(tmp_path / "ledger.db"), patience_s=5.0) as ledger:
        ledger.studies.put("digits", {}, cells=as_cells({("phase1", "digits8/siren"): 4}))
        yield ledger


@pytest.fixture
def owner() -> Owner:
    return Owner.here()


@pytest.fixture
def elsewhere(owner: Owner) -> Owner:
    """A process of another machine, of which nothing can be seen from here."""
    return replace(owner, host="node-2", boot_id="another-kernel", pid_namespace="pid:[1]")


@pytest.fixture
def trial() -> Callable[..., ClassificationConfig]:
    """Makes trials that differ by seed, field, start, steps or learning rate."""

    def make(
        seed: int = 0, *, field: str = "siren", init: str = "shared", steps: int = 75, lr: float = 1e-3
    ) -> ClassificationConfig:
        dataset = NeuralDatasetConfig(
            signals=SignalsConfig(name="digits8", content="c0ffee"),
            field=FieldConfig(name=field, params={"hidden": 16, "omega_0": 9.0}),
            init=init,
            optimizer=OptimizerConfig(lr=lr),
        )
        return ClassificationConfig(dataset=dataset, steps=steps, seed=seed)

    return make


@pytest.fixture
def finish(trial: Callable[..., ClassificationConfig]) -> Callable[..., ClassificationConfig]:
    """Takes a trial through its whole life with the given metrics."""

    def run(
        ledger: Ledger, seed: int = 0, *, phase: str = "phase1", study: str = "digits", **options: object
    ) -> ClassificationConfig:
        metrics = options.pop("metrics", {"val_accuracy": seed / 100, "all_psnr": 20.0 + seed})
        made = trial(seed, **options)
        token = ledger.trials.request(study, phase, record=as_record(made))
        ledger.trials.start(study, phase, key=made.key, token=token)
        ledger.trials.complete(study, phase, key=made.key, token=token, metrics=metrics)
        return made

    return run
