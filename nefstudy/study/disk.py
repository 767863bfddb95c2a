"""Room on the disk: what a plan will write, what is free, and a stop before nothing is."""

import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import final

from nefstudy.errors import DiskLow
from nefstudy.ledger.address import ledger_file
from nefstudy.paths import dataset_path
from nefstudy.storage import Storage
from nefstudy.study.cost import SignalSize, sampled_trials, signal_size
from nefstudy.study.place import Place
from nefstudy.study.plan import CellPlan, StudyPlan, listed_trials
from nefstudy.study.price import Prices, dataset_bytes
from nefstudy.study.run import StudyRun
from nefstudy.study.samplers.stream import Suggestion
from nefstudy.tasks.task import Need

GB = 1e9
LOOK_S = 5.0


@dataclass(frozen=True)
class CellDisk:
    """What the neural datasets of one cell take in one phase: all of them, and those that the plan keeps."""

    phase: str
    cell: str
    bytes: int
    kept_bytes: int


def plan_disk(plan: StudyPlan, *, best: int | None) -> list[CellDisk]:
    """Disk of every cell, in the plan's order.

    Args:
        best: how many best trials of a cell keep their neural dataset; None keeps all.
    """
    return [_cell_disk(plan, cell, signal_size(plan, cell.signals), best=best) for cell in plan.cells]


def _cell_disk(plan: StudyPlan, cell: CellPlan, size: SignalSize, *, best: int | None) -> CellDisk:
    listed, needs = listed_trials(plan, cell), plan.task(cell).needs
    if listed is not None:
        ladders: dict[str, list[Need]] = {}
        for need in (need for trial in listed for need in needs(trial)):
            ladders.setdefault(need.digest, []).append(need)
        sizes = [
            dataset_bytes(plan, ladder[0].recipe, size=size, rungs=len({need.rung for need in ladder}))
            for ladder in ladders.values()
        ]
    else:
        drawn = [
            sum(dataset_bytes(plan, need.recipe, size=size, rungs=1) for need in needs(trial))
            for trial in sampled_trials(plan, cell)
        ]
        sizes = [round(fmean(drawn))] * cell.planned
    kept = sum(sizes) if best is None else sum(sorted(sizes)[-best:] if best else [])
    return CellDisk(cell.phase, cell.cell, sum(sizes), kept)


def free_bytes(root: str) -> int | None:
    """Return the free space where a root is or will be; None for a URI, and while the root's mount is away."""
    if "://" in root:
        return None
    path = Path(root)
    try:
        while not path.exists() and path != path.parent:
            path = path.parent
        return shutil.disk_usage(path).free
    except OSError:
        return None


def ledger_folder(ledger: str) -> str | None:
    """The directory of a ledger that is a file; None for one on a server."""
    file = ledger_file(ledger)
    return None if file is None else str(file.absolute().parent)


@final
class DiskWatch:
    """Watches free space: holds back or refuses what does not fit, and stops the run when too little is left.

    From its construction on, the run asks it before it hands out a trial. The ledger's disk may be another than the
    root's; only the asked-for space is kept free there.

    Args:
        min_free_gb: gigabytes (1e9 bytes) that stay free; 0 never stops.
    """

    def __init__(
        self,
        run: StudyRun,
        place: Place,
        *,
        min_free_gb: float,
        free: Callable[[str], int | None] = free_bytes,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run = run
        self._place = place
        self._least = min_free_gb * GB
        self._free = free
        self._clock = clock
        self._looked = -LOOK_S
        self._prices = Prices(run.plan)
        self.problem: DiskLow | None = None
        run.disk = self

    def step(self) -> bool:
        """Whether space is low; looks every few seconds, and once it was low it stays so for this run."""
        if self._least and self.problem is None and self._clock() - self._looked >= LOOK_S:
            self._looked = self._clock()
            self.look()
        return self.problem is not None

    def look(self) -> None:
        """Find out now."""
        free = self._free(self._place.root)
        coming = self._coming()
        if free is not None and free - coming < self._least:
            self.problem = DiskLow(
                f"{free / GB:.2f} GB are free at {self._place.root}, fits under way may take {coming / GB:.2f} and "
                f"{self._least / GB:g} stay free (--min-free-gb): make room, `nefstudy dataset gc --dry-run` says "
                "what may go, and run the same command again; it goes on where it stopped"
            )
            return
        folder = ledger_folder(self._place.ledger)
        left = None if folder is None else self._free(folder)
        if left is not None and left < self._least:
            self.problem = DiskLow(
                f"{left / GB:.3g} GB are free at {folder}, where the ledger is, and {self._least / GB:g} stay free "
                "(--min-free-gb): make room and run the same command again; it goes on where it stopped"
            )

    def refusal(self, suggestion: Suggestion, *, asked: bool = False) -> str | None:
        """Return why a trial does not fit even with no other fit in flight; None if it does.

        Args:
            asked: a user asks for it, who is refused what does not fit even where `min_free_gb` is 0.
        """
        free = self._free(self._place.root)
        if free is None or not (self._least or asked):
            return None
        need = self._need(suggestion)
        if need <= free - self._least:
            return None
        return (
            f"its neural dataset takes {need / GB:,.2f} GB, {free / GB:,.2f} are free at {self._place.root} and "
            f"{self._least / GB:g} stay free (--min-free-gb): ask for fewer views or a smaller field, or make room "
            "(`nefstudy dataset gc --dry-run` lists what may go)"
        )

    def must_wait(self, suggestion: Suggestion) -> bool:
        """Return whether a trial fits only once fits in flight have ended."""
        free = self._free(self._place.root)
        if free is None or not self._least:
            return False
        coming = self._coming()
        return bool(coming) and self._need(suggestion) > free - self._least - coming

    def _need(self, suggestion: Suggestion) -> int:
        """Return the bytes that a trial's fit is still going to write."""
        if self._run.is_ready(suggestion):
            return 0
        whole = self._prices.bytes(suggestion) or 0
        written = 0
        with suppress(OSError):  # the root's mount is away: nothing is known to be there
            storage = Storage.at(self._place.root)
            written = sum(storage.total(dataset_path(digest)) for digest in suggestion.datasets) if whole else 0
        return max(0, whole - written)

    def _coming(self) -> int:
        """Return the bytes of the fits in flight."""
        coming = [trial.suggestion for trial in list(self._run.under_way.values())]
        return sum(self._prices.bytes(one) or 0 for one in coming if not self._run.is_ready(one))
