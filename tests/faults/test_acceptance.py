"""An acceptance test that runs both phases of a study as Ray jobs on two nodes.

During the phases, the driver, a worker and a node are killed.
"""

import subprocess
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import psutil
import pytest

from nefstudy.cli.options import load_script
from nefstudy.ledger import Ledger, TrialState
from nefstudy.study.options import StudyOptions

from ..e2e.ray_head import RAY, RayHead, ray_head, ray_node
from ..present import present
from .driver import NO_MLFLOW, PROJECT
from .invariants import Invariants
from .processes import actor_of, kill_all_of, wait_until

pytestmark = [pytest.mark.fault, pytest.mark.ray, pytest.mark.mlflow, pytest.mark.slow, pytest.mark.nightly]

STUDY, CELL, BUDGET = "acceptance", "digits8/siren", 4
FLAGS = ["--study", STUDY, "--scale", "smoke", "--cells", CELL, "--trials", str(BUDGET), "--replicates", "1"]
FLAGS += ["--classifier", "mlp", "--engine", "eager"]  # `auto` may choose another engine once something was compiled


@dataclass
class TwoNodes:
    """A Ray cluster of a head node and one other node, with one CPU each, on which the phases run as jobs."""

    head: RayHead
    root: Path
    nodes: ExitStack
    node: int = 0
    struck: list[str] = field(default_factory=list)

    def add_node(self) -> None:
        self.node = self.nodes.enter_context(ray_node(self.head))

    def run(self, script: str, phase: str, *, strikes: list[tuple[int, str]]) -> None:
        """Run a phase as a job, and kill a process of a given kind after each given number of complete trials.

        If the driver is killed, the job is resubmitted.
        """
        job, done = self._submit(script), 0
        for count, kind in strikes:
            least = max(count, done + 1)  # a resubmitted job must make progress before the next strike
            done = wait_until(partial(self._complete, phase, least=least), f"{phase}: {least}")
            assert job.poll() is None, f"{phase} ended before the {kind} was killed: {self._output()}"
            {"driver": self._kill_driver, "worker": self._kill_worker, "node": self._kill_node}[kind]()
            self.struck.append(f"{kind} in {phase} after {done}")
            if kind == "driver":
                assert job.wait(120) != 0
                job = self._submit(script)
        assert job.wait(400) == 0, self._output()

    def _submit(self, script: str) -> subprocess.Popen:
        command = [str(RAY), "job", "submit", "--address", self.head.dashboard, "--working-dir", ".", "--", "python"]
        command += [script, "--root", str(self.root), *FLAGS]
        with (self.root / "job.log").open("a") as log:
            return subprocess.Popen(command, cwd=PROJECT, env=self.head.environment, stdout=log, stderr=log)

    def _kill_driver(self) -> None:
        with Ledger.open(f"sqlite:///{self.root}/ledger.db", read_only=True) as ledger:
            psutil.Process(present(ledger.leases.holder(STUDY)).owner.pid).kill()

    def _kill_worker(self) -> None:
        def working() -> list[psutil.Process]:
            actors = [actor_of(self.root, row) for row in self._rows(None, TrialState.RUNNING)]
            return [process for process in actors if process is not None]

        wait_until(working, "a worker")[0].kill()

    def _kill_node(self) -> None:
        kill_all_of(self.node)
        self.add_node()

    def _complete(self, phase: str, *, least: int) -> int | None:
        count = len(self._rows(phase, TrialState.COMPLETE))
        return count if count >= least else None

    def _rows(self, phase: str | None, state: TrialState) -> list:
        if not (self.root / "ledger.db").exists():
            return []
        try:
            rows = Invariants(self.root, STUDY).rows()
        except Exception:  # a ledger that is being created
            return []
        return [row for row in rows if phase in (None, row.phase) and row.state is state]

    def _output(self) -> str:
        return (self.root / "job.log").read_text()[-3000:]


@pytest.mark.timeout(1200)
def test_two_phases_survive_the_death_of_driver_worker_and_node(moment, start_driver, tmp_path):
    """Both phases complete although a driver, a worker and a node are killed at random moments.

    The order of the kills is also random. A killed driver's job is resubmitted. Each search ends with its budget of
    distinct trials, the grid has every point once, MLflow has one run per trial, and the grid's values equal those
    of a fault-free run.
    """
    options = StudyOptions(study=STUDY, scale="smoke", cells=(CELL,), trials=BUDGET, replicates=1, classifier="mlp")
    first, second = (load_script(str(PROJECT / f"studies/phase{n}.py"))(options) for n in (1, 2))
    plan = replace(first, cells=(*first.cells, *second.cells)).pinned()
    kinds = moment.sample(["driver", "worker", "node"], 3)
    early, late = moment.randint(1, BUDGET - 1), sorted(moment.sample(range(1, 7), 2))
    with ray_head(cpus=1) as head, ExitStack() as nodes:
        cluster = TwoNodes(head, tmp_path, nodes)
        cluster.add_node()
        cluster.run("studies/phase1.py", "phase1", strikes=[(early, kinds[0])])
        cluster.run("studies/phase2.py", "phase2", strikes=list(zip(late, kinds[1:], strict=True)))
    print(*cluster.struck, sep="; ")  # noqa: T201  # pytest shows it when the test fails
    whole = tmp_path / "whole"
    whole.mkdir()
    alone = start_driver(*FLAGS, root=whole, script="studies/phase2.py", **NO_MLFLOW)
    assert alone.end() == 0, alone.output()
    Invariants(tmp_path, STUDY).check(plan=plan, reference=Invariants(whole, STUDY).rows(), mlflow=True)
