"""Driver processes that fault tests start, signal and wait for, by default of the quick study."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nefstudy.ledger import TrialRow, TrialState

from .invariants import Invariants

PROJECT = Path(__file__).parents[2]
SCRIPT = "tests/faults/quick_study.py"
SLOW_SCRIPT = "tests/faults/slow_study.py"
# No server listens there, so results stay in the outbox.
NO_MLFLOW: dict[str, Any] = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}


@dataclass
class Driver:
    """A driver process of a study, with the study's root and ledger."""

    process: subprocess.Popen
    root: Path
    ledger: str | None = None

    def wait_for(self, count: int, *, state: TrialState = TrialState.COMPLETE, timeout: float = 400) -> list[TrialRow]:
        """Wait until `count` trials are in the given state; return the rows of all trials."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            rows = self._rows()
            if sum(row.state is state for row in rows) >= count:
                return rows
            assert self.process.poll() is None, f"the driver ended early: {self.output()}"
            time.sleep(0.2)
        raise AssertionError(f"only {len(self._rows())} rows after {timeout} s: {self.output()}")

    def kill(self, how: signal.Signals = signal.SIGKILL, *, group: bool = False) -> None:
        """Send a signal to the driver, or to its whole process group.

        The group includes Ray's processes; a batch system signals all of them.
        """
        if group:
            os.killpg(self.process.pid, how)
        else:
            self.process.send_signal(how)

    def end(self, timeout: float = 400) -> int:
        """Wait for the driver to end; return its exit code."""
        return self.process.wait(timeout=timeout)

    def output(self) -> str:
        return (self.root / "driver.log").read_text()[-3000:]

    def _rows(self) -> list[TrialRow]:
        if self.ledger is None and not (self.root / "ledger.db").exists():
            return []
        try:
            return Invariants(self.root, ledger=self.ledger).rows()
        except Exception:  # a ledger that is being created
            return []


def begin_driver(
    *arguments: object,
    root: Path,
    script: str = SCRIPT,
    ledger: str | None = None,
    cwd: Path = PROJECT,
    **environment: str,
) -> Driver:
    """Start a study script as a process in a new session, writing its output to ROOT/driver.log."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("NEFSTUDY_", "MLFLOW_", "RAY_"))}
    clean |= {"OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0", "COLUMNS": "200"} | environment
    where = ["--root", str(root), *(["--ledger", ledger] if ledger else [])]
    command = [sys.executable, script, "--study", "quick", *where, *map(str, arguments)]
    with (root / "driver.log").open("a") as log:
        process = subprocess.Popen(command, cwd=cwd, env=clean, stdout=log, stderr=log, start_new_session=True)
    return Driver(process, root, ledger)
