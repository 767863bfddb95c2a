"""Disk space: the bytes that a plan will write, the free bytes, and a watch that ends a run before the disk is full."""

import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import final

from nefstudy.errors import DiskLow
from nefstudy.ledger.sql.address import ledger_file
from nefstudy.paths import dataset_path
from nefstudy.storage import Storage
from nefstudy.study.driver.run import StudyRun
from nefstudy.study.estimate.cost import SignalSize, sampled_trials, signal_size
from nefstudy.study.estimate.trial_price import Prices, dataset_bytes
from nefstudy.study.locations import Locations
from nefstudy.study.plan.study_plan import CellPlan, StudyPlan, listed_trials
from nefstudy.study.samplers.stream import Suggestion
from nefstudy.tasks.task import Need

GB = 1e9
LOOK_S = 5.0


@dataclass(frozen=True)
class CellDisk:
    """The size in bytes of one cell's neural datasets in one phase: of all datasets, and of those the plan keeps."""

    phase: str
    cell: str
    bytes: int
    kept_bytes: int


def plan_disk(plan: StudyPlan, *, best: int | None) -> list[CellDisk]:
    """Return the disk space that every cell needs, in the plan's order.

    Args:
        best: number of best trials of a cell whose neural datasets are kept; None keeps all.
    """
    return [_cell_disk(plan, cell, signal_size(plan, cell.signals), best=best) for cell in plan.cells]


def _cell_disk(plan: StudyPlan, cell: CellPlan, size: SignalSize, *, best: int | None) -> CellDisk:
    listed, needs = listed_trials(plan, cell), plan.task(cell).needs
    each = 1  # the most neural datasets that a trial needs, each with a size
    if listed is not None:
        ladders: dict[str, list[Need]] = {}
        for own in map(needs, listed):
            each = max(each, len({need.digest for need in own}))
            for need in own:
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
    kept = sum(sizes) if best is None else sum(sorted(sizes, reverse=True)[: best * each])
    return CellDisk(cell.phase, cell.cell, sum(sizes), kept)


def free_bytes(root: str) -> int | None:
    """Return the free space at an existing or future root; None for a URI or an unmounted root."""
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
    """Return the directory of a file-based ledger; None for a ledger on a server."""
    file = ledger_file(ledger)
    return None if file is None else str(file.absolute().parent)


@final
class DiskWatch:
    """A watch on free disk space: delays or refuses trials that do not fit, and stops the run before space runs out.

    The run consults it before each trial. The ledger may be on a different disk from the root; there
    only `min_free_gb` is kept free.

    Args:
        min_free_gb: gigabytes (1e9 bytes) that stay free; 0 never stops.
    """

    def __init__(
        self,
        run: StudyRun,
        locations: Locations,
        *,
        min_free_gb: float,
        free: Callable[[str], int | None] = free_bytes,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run = run
        self._locations = locations
        self._least = min_free_gb * GB
        self._free = free
        self._clock = clock
        self._looked = -LOOK_S
        self._prices = Prices(run.plan)
        self.problem: DiskLow | None = None
        run.disk = self

    def step(self) -> bool:
        """Return whether disk space has been low at any time in this run; check the free space every few seconds."""
        if self._least and self.problem is None and self._clock() - self._looked >= LOOK_S:
            self._looked = self._clock()
            self.look()
        return self.problem is not None

    def look(self) -> None:
        """Check the free space now; set `problem` if space is low."""
        free = self._free(self._locations.root)
        coming = self._coming()
        if free is not None and free - coming < self._least:
            self.problem = DiskLow(
                f"{free / GB:.2f} GB are free at {self._locations.root}, fits in flight may take "
                f"{coming / GB:.2f} and {self._least / GB:g} stay free (--min-free-gb): free some space "
                "(`nefstudy dataset gc --dry-run` lists what may be removed) "
                "and run the same command again; it resumes where it stopped"
            )
            return
        folder = ledger_folder(self._locations.ledger)
        left = None if folder is None else self._free(folder)
        if left is not None and left < self._least:
            self.problem = DiskLow(
                f"{left / GB:.3g} GB are free at {folder}, where the ledger is, and {self._least / GB:g} stay free "
                "(--min-free-gb): free some space and run the same command again; it resumes where it stopped"
            )

    def refusal(self, suggestion: Suggestion, *, asked: bool = False) -> str | None:
        """Return why a trial would not fit on the disk even if no fits were in flight, or None if it would fit.

        Args:
            asked: whether a user requests the trial; then it is refused if it does not fit even if `min_free_gb` is 0.
        """
        free = self._free(self._locations.root)
        if free is None or not (self._least or asked):
            return None
        need = self._need(suggestion)
        if need <= free - self._least:
            return None
        takes = "s take" if len(suggestion.datasets) > 1 else " takes"
        return (
            f"its neural dataset{takes} {need / GB:,.2f} GB, {free / GB:,.2f} are free at {self._locations.root} and "
            f"{self._least / GB:g} stay free (--min-free-gb): use fewer views or a smaller field, or free "
            "some space (`nefstudy dataset gc --dry-run` lists what may be removed)"
        )

    def must_wait(self, suggestion: Suggestion) -> bool:
        """Return whether a trial has to wait for disk space until the fits in flight have ended."""
        free = self._free(self._locations.root)
        if free is None or not self._least:
            return False
        coming = self._coming()
        return bool(coming) and self._need(suggestion) > free - self._least - coming

    def _need(self, suggestion: Suggestion) -> int:
        """Return the number of bytes that a trial's fits have yet to write."""
        missing = self._run.missing(suggestion)
        whole = self._prices.bytes(suggestion, of=missing) or 0
        written = 0
        with suppress(OSError):  # the root is not mounted: count nothing as written
            storage = Storage.at(self._locations.root)
            written = sum(storage.total_size(dataset_path(digest)) for digest in missing) if whole else 0
        return max(0, whole - written)

    def _coming(self) -> int:
        """Return how many bytes the fits in flight may still write."""
        coming = [trial.suggestion for trial in list(self._run.in_flight.values())]
        return sum(self._prices.bytes(one, of=self._run.missing(one)) or 0 for one in coming)
