"""The two phases as an operator runs them, as Ray jobs on two nodes, through the death of driver, worker and node."""

import subprocess
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil
import pytest

from nefstudy.cli.main import load_script
from nefstudy.ledger import Ledger, TrialState
from nefstudy.study.options import StudyOptions

from ..e2e.ray_head import RAY, RayHead, ray_head, ray_node
from .conftest import NO_MLFLOW, PROJECT, Invariants
from .processes import actor_of, kill_all_of, wait_until

pytestmark = [pytest.mark.fault, pytest.mark.ray, pytest.mark.mlflow, pytest.mark.slow, pytest.mark.nightly]

STUDY, CELL, BUDGET = "acceptance", "digits8/siren", 4
ASKED = ["--study", STUDY, "--scale", "smoke", "--cells", CELL, "--trials", str(BUDGET)]
ASKED += ["--classifier", "mlp", "--engine", "eager"]  # `auto` may choose otherwise once something was compiled


@dataclass
class TwoNodes:
    """A head and a node of one CPU each, on which phases run as jobs."""

    head: RayHead
    root: Path
    nodes: ExitStack
    node: int = 0
    struck: list[str] = field(default_factory=list)

    def add_node(self) -> None:
        self.node = self.nodes.enter_context(ray_node(self.head))

    def run(self, script: str, phase: str, *, strikes: list[tuple[int, str]]) -> None:
        """Submit a phase, strike once so many of its trials are complete, and submit it again if that ended it."""
        job, done = self._submit(script), 0
        for count, kind in strikes:
            least = max(count, done + 1)  # a job submitted again has to get going before it is struck
            done = wait_until(lambda least=least: self._complete(phase, least=least), f"{phase}: {least}")
            assert job.poll() is None, f"{phase} ended before the {kind} was killed: {self._said()}"
            {"driver": self._kill_driver, "worker": self._kill_worker, "node": self._kill_node}[kind]()
            self.struck.append(f"{kind} in {phase} after {done}")
            if kind == "driver":
                assert job.wait(120) != 0
                job = self._submit(script)
        assert job.wait(400) == 0, self._said()

    def _submit(self, script: str) -> subprocess.Popen:
        command = [str(RAY), "job", "submit", "--address", self.head.dashboard, "--working-dir", ".", "--", "python"]
        command += [script, "--root", str(self.root), *ASKED]
        with (self.root / "job.log").open("a") as log:
            return subprocess.Popen(command, cwd=PROJECT, env=self.head.environment, stdout=log, stderr=log)

    def _kill_driver(self) -> None:
        with Ledger.open(f"sqlite:///{self.root}/ledger.db", read_only=True) as ledger:
            psutil.Process(ledger.leases.holder(STUDY).owner.pid).kill()

    def _kill_worker(self) -> None:
        def working() -> list[psutil.Process]:
            found = [actor_of(self.root, row) for row in self._rows(None, TrialState.RUNNING)]
            return [process for process in found if process is not None]

        wait_until(working, "a worker")[0].kill()

    def _kill_node(self) -> None:
        kill_all_of(self.node)
        self.add_node()

    def _complete(self, phase: str, *, least: int) -> int | None:
        found = len(self._rows(phase, TrialState.COMPLETE))
        return found if found >= least else None

    def _rows(self, phase: str | None, state: TrialState) -> list:
        if not (self.root / "ledger.db").exists():
            return []
        try:
            rows = Invariants(self.root, STUDY).rows()
        except Exception:  # a ledger that is being made
            return []
        return [row for row in rows if phase in (None, row.phase) and row.state is state]

    def _said(self) -> str:
        return (self.root / "job.log").read_text()[-3000:]


@pytest.mark.timeout(1200)
def test_two_phases_survive_the_death_of_driver_worker_and_node(moment, start_driver, tmp_path):
    """At random moments, in random order; the driver's job is submitted again. Each cell ends with its budget of
    distinct trials, the grid with every point once, MLflow with a run each; the grid's values are those of a run
    without a fault.
    """
    options = StudyOptions(study=STUDY, scale="smoke", cells=(CELL,), trials=BUDGET, classifier="mlp")
    first, second = (load_script(str(PROJECT / f"studies/phase{n}.py"))(options) for n in (1, 2))
    plan = replace(first, cells=(*first.cells, *second.cells)).pinned()
    kinds = moment.sample(["driver", "worker", "node"], 3)
    early, late = moment.randint(1, BUDGET - 1), sorted(moment.sample(range(1, 10), 2))
    with ray_head(cpus=1) as head, ExitStack() as nodes:
        cluster = TwoNodes(head, tmp_path, nodes)
        cluster.add_node()
        cluster.run("studies/phase1.py", "phase1", strikes=[(early, kinds[0])])
        cluster.run("studies/phase2.py", "phase2", strikes=list(zip(late, kinds[1:], strict=True)))
    print(*cluster.struck, sep="; ")  # noqa: T201  # pytest shows it when the test fails
    whole = tmp_path / "whole"
    whole.mkdir()
    alone = start_driver(*ASKED, root=whole, script="studies/phase2.py", **NO_MLFLOW)
    assert alone.end() == 0, alone.said()
    Invariants(tmp_path, STUDY).check(plan=plan, reference=Invariants(whole, STUDY).rows(), mlflow=True)
