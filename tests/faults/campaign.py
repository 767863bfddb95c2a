"""A fault test that repeatedly kills processes of one study and reports what was lost, duplicated or left behind.

Run `python -m tests.faults.campaign --kills 60 --ledger sqlite` (or postgres). The exit code is 0 if every
invariant holds.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from nefstudy.cli.options import load_script
from nefstudy.ledger import Ledger, TrialState
from nefstudy.study.options import StudyOptions

from ..plugins.postgres import Postgres, postgres_server
from .driver import NO_MLFLOW, PROJECT, Driver, begin_driver
from .invariants import Invariants
from .processes import kill_all_of, kinds_of
from .rerun import FINISH_S, Rerun, shuffled_rounds

SCRIPT = "tests/faults/mixed_study.py"
IN_WORK = 0.75  # share of kills that wait for a trial to complete; the others may hit a starting driver
PROGRESS_S = 120.0


@dataclass
class Campaign:
    """A campaign that kills randomly chosen processes of a study at random moments.

    Attributes:
        report: called with a line at each kill.
        acked: keys that were COMPLETE at some time.
        kills: number of killed processes by kind.
    """

    rerun: Rerun
    root: Path
    ledger: str | None
    server: Postgres | None
    moment: random.Random
    report: Callable[[str], None]
    acked: set[str] = field(default_factory=set)
    kills: Counter[str] = field(default_factory=Counter)

    def strike(self, count: int, *, every_s: float, until: float) -> None:
        """Kill `count` processes, one every `every_s` seconds on average.

        The kills stop early at the time `until`.
        """
        kinds = list(kinds_of(self.rerun.driver.process.pid, postmaster=self._postmaster()))
        for kind in shuffled_rounds(kinds, self.moment):
            if self.kills.total() >= count or time.monotonic() > until:
                break
            if self.moment.random() < IN_WORK:
                self._wait_for_progress(until=min(until, time.monotonic() + PROGRESS_S))
            self._wait(self.moment.uniform(0, 2 * every_s), until=until)
            # skip the kind if none of its processes starts in that time
            give_up = min(until, time.monotonic() + 4 * every_s)
            while not self._kill(kind) and time.monotonic() < give_up:
                self._wait(self.moment.uniform(0, every_s / 2), until=until)

    def _kill(self, kind: str) -> bool:
        self.acked |= self._complete()
        with suppress(psutil.NoSuchProcess):
            processes = kinds_of(self.rerun.driver.process.pid, postmaster=self._postmaster())[kind]
            if processes:
                self.moment.choice(processes).kill()
                self.kills[kind] += 1
                self.report(f"kill {self.kills.total()}: {kind}, {len(self.acked)} trials complete")
                return True
        return False

    def _wait_for_progress(self, *, until: float) -> None:
        """Wait until the study has completed at least one more trial."""
        before = len(self._complete())
        while time.monotonic() < until and len(self._complete()) <= before:
            self._wait(0.5, until=until)

    def _wait(self, seconds: float, *, until: float) -> None:
        """Wait for `seconds`, but not beyond the time `until`; restart the driver whenever it ends."""
        end = min(until, time.monotonic() + seconds)
        while time.monotonic() < end:
            self.rerun.restart_if_ended()
            time.sleep(min(0.2, max(0.0, end - time.monotonic())))
        self.rerun.restart_if_ended()

    def _postmaster(self) -> int | None:
        with suppress(OSError):  # its pid file is missing while it starts
            return None if self.server is None else self.server.pid
        return -1

    def _complete(self) -> set[str]:
        with suppress(Exception):  # a ledger that is being created, or a database in recovery
            return {row.key for row in Invariants(self.root, ledger=self.ledger).rows() if row.state == "COMPLETE"}
        return set()


def left_behind(root: Path, temporary: Path) -> list[str]:
    """Return the temporary files under a root, and the directories of dead Ray instances."""
    files = [*root.rglob("*.tmp"), *root.rglob("*.part"), *(root / ".ray").glob("*")]
    return [str(path) for path in (*files, *temporary.glob("nef-*"))]


def verdict(campaign: Campaign, *, temporary: Path, start: Callable[..., Driver]) -> list[str]:
    """Return one line for each violation that is found in a campaign's study.

    The study is compared with an uninterrupted run of the same plan.
    """
    wrong: list[str] = []
    whole = campaign.root.parent / "whole"
    whole.mkdir()
    alone = start("--replicates", campaign.rerun.replicates, root=whole, **NO_MLFLOW)
    with _noted(wrong, "the uninterrupted run"):
        assert alone.end(FINISH_S) == 0, alone.output()
    plan = load_script(str(PROJECT / SCRIPT))(
        StudyOptions(study="quick", replicates=campaign.rerun.replicates)
    ).pinned()
    mine = Invariants(campaign.root, ledger=campaign.ledger)
    with _noted(wrong, "the invariants"):
        reference = Invariants(whole).check(plan=plan)
        rows = mine.check(acked=campaign.acked, plan=plan, reference=reference, mlflow=True)
        assert {row.state for row in rows} == {TrialState.COMPLETE}, "all trials are complete"
    with _noted(wrong, "the outbox"), Ledger.open(mine.url, read_only=True) as ledger:
        assert ledger.outbox.size() == 0, f"{ledger.outbox.size()} results are not exported"
    left = left_behind(campaign.root, temporary)
    if left:
        wrong.append(f"left behind: {', '.join(left[:5])} ({len(left)} in all)")
    traces = (campaign.root / "driver.log").read_text().count("Traceback")
    if traces:
        wrong.append(f"{traces} tracebacks in {campaign.root}/driver.log")
    return wrong


@contextmanager
def _noted(wrong: list[str], what: str) -> Iterator[None]:
    """Record any exception raised inside the context as a violation."""
    try:
        yield
    except Exception as error:  # an unreadable ledger is a violation as well
        lines = str(error).strip().splitlines() or [type(error).__name__]
        wrong.append(f"{what}: {type(error).__name__}: {' '.join(lines)[:1500]}")


def run(
    *,
    kills: int,
    ledger: str,
    seed: int,
    home: Path,
    every_s: float = 5.0,
    minutes: float = 20.0,
    report: Callable[[str], None] = lambda _: None,
) -> tuple[Campaign, list[str]]:
    """Run a campaign and wait for its processes to end; return the campaign and its violations."""
    root = home / "root"
    temporary = Path(tempfile.mkdtemp(prefix="nc.", dir="/tmp"))  # short enough for a socket's path
    root.mkdir()
    started: list[Driver] = []

    def start(*arguments: object, root: Path = root, **options: Any) -> Driver:
        options = {"script": SCRIPT, "TMPDIR": str(temporary)} | options
        started.append(begin_driver(*arguments, root=root, **options))
        return started[-1]

    def kill_started() -> None:
        for driver in started:
            if driver.process.poll() is None:
                kill_all_of(driver.process.pid)

    with ExitStack() as stack:
        stack.callback(kill_started)
        server = stack.enter_context(postgres_server()) if ledger == "postgres" else None
        url = None if server is None else server.url("postgres")
        options: dict[str, Any] = {} if url is None else {"ledger": url}
        rerun = Rerun(partial(start, **options))
        campaign = Campaign(rerun, root, url, server, random.Random(seed), report)
        campaign.strike(kills, every_s=every_s, until=time.monotonic() + 60 * minutes)
        wrong = []
        if campaign.kills.total() < kills:
            wrong.append(f"only {campaign.kills.total()} of {kills} kills within {minutes:g} minutes")
        with _noted(wrong, "the end"):
            rerun.finish()
        wrong += verdict(campaign, temporary=temporary, start=start)
    if not wrong:
        shutil.rmtree(temporary, ignore_errors=True)
    return campaign, wrong


def main() -> int:
    """Run a campaign with the options given on the command line."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--kills", type=int, default=60)
    options.add_argument("--ledger", choices=("sqlite", "postgres"), default="sqlite")
    options.add_argument("--seed", type=int, default=int(os.environ.get("NEF_FAULT_SEED", time.time_ns() % 10**6)))
    options.add_argument("--every", type=float, default=5.0, help="average seconds before each kill")
    options.add_argument(
        "--minutes", type=float, default=20.0, help="time limit of the kills; the end takes a few more minutes"
    )
    given = options.parse_args()
    home = Path(tempfile.mkdtemp(prefix="nef.campaign.", dir="/tmp"))
    console = Console(width=200, highlight=False)
    began = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    campaign, wrong = run(
        kills=given.kills,
        ledger=given.ledger,
        seed=given.seed,
        home=home,
        every_s=given.every,
        minutes=given.minutes,
        report=lambda line: console.print(f"{time.monotonic() - began:6.0f} s  {line}"),
    )
    table = Table("process", "kills", title=f"{time.monotonic() - began:.0f} s")
    for kind, count in sorted(campaign.kills.items()):
        table.add_row(kind, str(count))
    console.print(
        table,
        f"seed {given.seed}, {given.ledger}, {home}",
        f"{campaign.rerun.starts} drivers, {campaign.rerun.replicates} replicates",
    )
    for line in wrong:
        console.print(f"WRONG {line}", markup=False)
    if not wrong:
        console.print("every invariant holds: nothing lost, doubled or left, values equal")
        shutil.rmtree(home)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
