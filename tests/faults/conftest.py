"""What every fault test needs: the invariants of a study, and quick studies run here or as processes."""

import math
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from rich.console import Console

from nefstudy.cli.main import load_script
from nefstudy.insight.progress import progress
from nefstudy.ledger import Ledger, TrialRow, TrialState
from nefstudy.neural_dataset.read import open_neural_dataset
from nefstudy.study.options import StudyOptions
from nefstudy.study.place import Place
from nefstudy.study.plan import StudyPlan, listed_trials
from nefstudy.study.samplers import Grid, Tpe

from ..ledger.conftest import postgres  # noqa: F401  # a fixture

PROJECT = Path(__file__).parents[2]
SCRIPT = "tests/faults/quick_study.py"
SLOW_SCRIPT = "tests/faults/slow_study.py"
NO_MLFLOW = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}  # nobody listens there: results wait in the outbox
NOT_RESULTS = {
    "fit_seconds",
    "classify_seconds",
    "classify_cpu_seconds",
    "field_steps",
}  # how it went, not what it found


def values_of(rows: list[TrialRow]) -> dict[tuple[str, str], dict[str, float]]:
    """What each trial found, by (phase, key)."""
    found = {(row.phase, row.key): {k: v for k, v in row.metrics.items() if k not in NOT_RESULTS} for row in rows}
    return {place: {k: "NaN" if math.isnan(v) else v for k, v in metrics.items()} for place, metrics in found.items()}


@dataclass(frozen=True)
class Invariants:
    """What holds of a study at rest after any fault."""

    root: Path
    study: str = "quick"
    ledger: str | None = None

    @property
    def url(self) -> str:
        return self.ledger or f"sqlite:///{self.root}/ledger.db"

    def rows(self) -> list[TrialRow]:
        with Ledger.open(self.url, read_only=True) as book:
            return list(book.trials.page(self.study, limit=None).rows)

    def check(
        self,
        *,
        acked: set[str] = frozenset(),
        plan: StudyPlan | None = None,
        reference: list[TrialRow] | None = None,
        mlflow: bool = False,
    ) -> list[TrialRow]:
        """Raise AssertionError unless all hold; the rows of the study.

        Args:
            acked: keys known to have been completed at some time.
            plan: whose grid has to be there, whole and nothing else of phase 2.
            reference: the rows of the same study run without a fault, to equal value for value.
            mlflow: whether the outbox was drained, so that MLflow must hold each trial once.
        """
        rows = self.rows()
        with Ledger.open(self.url, read_only=True) as book:
            self._check_ledger(book, rows, acked)
        if plan is not None:
            wanted = [
                (cell.phase, t.key)
                for cell in plan.cells
                if isinstance(cell.sampler, Grid)
                for t in listed_trials(plan, cell)
            ]
            found = [(row.phase, row.key) for row in rows if row.phase == "phase2" and row.state is TrialState.COMPLETE]
            assert sorted(found) == sorted(wanted), "the grid is complete, once"
            budgets = {(cell.phase, cell.cell): cell.planned for cell in plan.cells if isinstance(cell.sampler, Tpe)}
            searched = Counter((row.phase, row.cell) for row in rows if row.phase == "phase1")
            assert searched == budgets, "a search ends with its budget of distinct trials"
        if reference is not None:
            mine = [row for row in rows if row.phase == "phase2"]
            assert values_of(mine) == values_of([row for row in reference if row.phase == "phase2"])
        self._check_files()
        if mlflow:
            self._check_mlflow(rows)
        return rows

    def _check_ledger(self, book: Ledger, rows: list[TrialRow], acked: set[str]) -> None:
        complete = {row.key for row in rows if row.state is TrialState.COMPLETE}
        assert acked <= complete, "what was acknowledged is complete"
        assert len({(row.phase, row.key) for row in rows}) == len(rows), "no row is there twice"
        ends = Counter((e.phase, e.key) for e in book.events.since(0, limit=10**6) if e.kind in ("complete", "reused"))
        assert set(ends.values()) <= {1}, "a trial completes once"
        holder = book.leases.holder(self.study)
        if holder is None or holder.is_gone or holder.seen_s > holder.lease_s:
            left = [row.key for row in rows if row.state in (TrialState.RUNNING, TrialState.REQUESTED)]
            assert left == [], "nothing is open without a driver"
        told = progress(book, self.study)
        states = Counter(row.state.lower() for row in rows)
        assert {name: getattr(told, name) for name in map(str.lower, TrialState)} == {
            name: states[name] for name in map(str.lower, TrialState)
        }, "status says what the ledger holds"

    def _check_files(self) -> None:
        folder = self.root / "neural_datasets"
        digests = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        for digest in digests:
            open_neural_dataset(str(self.root), digest).verify()
        assert [str(path) for path in self.root.rglob("*.part")] == [], "nothing half-written is left"

    def _check_mlflow(self, rows: list[TrialRow]) -> None:
        from mlflow import MlflowClient

        from nefstudy.tracking import STATUS

        client = MlflowClient(f"sqlite:///{self.root}/mlflow.db")
        places = [e.experiment_id for e in client.search_experiments() if e.name.startswith(f"{self.study}/")]
        runs = client.search_runs(places, max_results=10_000) if places else []
        finished = Counter(r.data.tags["nefstudy.key"] for r in runs if r.info.status == "FINISHED")
        complete = Counter(row.key for row in rows if row.state is TrialState.COMPLETE)
        assert finished == complete, "each complete trial has one finished run"
        ended = Counter(row.key for row in rows if row.state in STATUS)
        assert Counter(r.data.tags["nefstudy.key"] for r in runs) == ended, "no trial has another run beside"


@pytest.fixture
def invariants(tmp_path: Path) -> Callable[..., Invariants]:
    """The invariants of the study under a root, this test's own unless another is named."""
    return lambda root=tmp_path, **options: Invariants(Path(root), **options)


@pytest.fixture(scope="session")
def quick_plan() -> Callable[..., StudyPlan]:
    """The quick study's plan, content hashes and all, for the given options."""
    make = load_script(str(PROJECT / SCRIPT))
    return lambda **options: make(StudyOptions(**({"study": "quick"} | options))).pinned()


@pytest.fixture
def moment(request: pytest.FixtureRequest) -> random.Random:
    """Random moments: seeded by NEF_FAULT_SEED or by the clock, and reported when the test fails."""
    seed = int(os.environ.get("NEF_FAULT_SEED", time.time_ns() % 10**6))
    request.node.user_properties.append(("fault seed", seed))
    print(f"NEF_FAULT_SEED={seed}")  # noqa: T201  # pytest shows it when the test fails
    return random.Random(seed)


@pytest.fixture(scope="session")
def own_ray() -> Iterator[None]:
    """A Ray of two CPUs that studies run in this process share."""
    from nefstudy.study.cluster import connected_ray

    with connected_ray():
        yield


@pytest.fixture
def run_here(tmp_path: Path, own_ray: None) -> Callable[..., object]:
    """Run a plan in this process, without MLflow; gives the run's ending."""
    from nefstudy.study.session import run_study

    def run(plan: StudyPlan, *, root: Path = tmp_path, mlflow: str = "", **options: object) -> object:
        place = Place(str(root), f"sqlite:///{root}/ledger.db", mlflow)
        with (root / "said.txt").open("a") as said:
            options = replace(StudyOptions(), **options)
            return run_study(plan, options, place=place, console=Console(file=said, width=200))

    return run


@dataclass
class Driver:
    """A driver process of the quick study."""

    process: subprocess.Popen
    root: Path
    ledger: str | None = None

    def wait_for(self, count: int, *, state: TrialState = TrialState.COMPLETE, timeout: float = 400) -> list[TrialRow]:
        """The rows once `count` trials are in a state."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            rows = self._rows()
            if sum(row.state is state for row in rows) >= count:
                return rows
            assert self.process.poll() is None, f"the driver ended early: {self.said()}"
            time.sleep(0.2)
        raise AssertionError(f"only {len(self._rows())} rows after {timeout} s: {self.said()}")

    def kill(self, how: signal.Signals = signal.SIGKILL, *, group: bool = False) -> None:
        """Send a signal to the driver, or as a batch system does to its whole process group, its Ray included."""
        if group:
            os.killpg(self.process.pid, how)
        else:
            self.process.send_signal(how)

    def end(self, timeout: float = 400) -> int:
        """Its exit code."""
        return self.process.wait(timeout=timeout)

    def said(self) -> str:
        return (self.root / "driver.log").read_text()[-3000:]

    def _rows(self) -> list[TrialRow]:
        if self.ledger is None and not (self.root / "ledger.db").exists():
            return []
        try:
            return Invariants(self.root, ledger=self.ledger).rows()
        except Exception:  # a ledger that is being made
            return []


def begin_driver(
    *arguments: object,
    root: Path,
    script: str = SCRIPT,
    ledger: str | None = None,
    cwd: Path = PROJECT,
    **environment: str,
) -> Driver:
    """A study script as a process and session of its own, its words in ROOT/driver.log."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("NEFSTUDY_", "MLFLOW_", "RAY_"))}
    clean |= {"OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0", "COLUMNS": "200"} | environment
    place = ["--root", str(root), *(["--ledger", ledger] if ledger else [])]
    command = [sys.executable, script, "--study", "quick", *place, *map(str, arguments)]
    with (root / "driver.log").open("a") as log:
        process = subprocess.Popen(command, cwd=cwd, env=clean, stdout=log, stderr=log, start_new_session=True)
    return Driver(process, root, ledger)


@pytest.fixture
def start_driver(tmp_path: Path) -> Iterator[Callable[..., Driver]]:
    """Start the quick study as a process of its own; whatever is left of it is killed after the test."""
    started: list[Driver] = []

    def start(*arguments: object, root: Path = tmp_path, **options: object) -> Driver:
        started.append(begin_driver(*arguments, root=root, **options))
        return started[-1]

    yield start
    for driver in started:
        if driver.process.poll() is None:
            os.killpg(driver.process.pid, signal.SIGKILL)
            driver.process.wait()


@pytest.fixture(scope="session")
def unharmed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of the slow study's four trials, run without a fault."""
    root = tmp_path_factory.mktemp("unharmed")
    driver = begin_driver("--replicates", 4, root=root, script=SLOW_SCRIPT, **NO_MLFLOW)
    assert driver.end(300) == 0, driver.said()
    return root
