"""Room on the disk: what a plan will write, what is free, and a stop before nothing is."""

import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import final

from nefstudy.config import TrialConfig
from nefstudy.errors import DiskLow
from nefstudy.fields.catalog import build
from nefstudy.fields.field import parameter_count
from nefstudy.ledger.address import ledger_file
from nefstudy.neural_dataset.schema import SHARD_SIGNALS
from nefstudy.study.cost import SignalSize, sampled_trials, signal_size
from nefstudy.study.place import Place
from nefstudy.study.plan import CellPlan, StudyPlan, grid_trials
from nefstudy.study.run import StudyRun

GB = 1e9
COLUMN_BYTES = 29  # of a row beside parameters and quality: id, view, label, split, diverged_at, stopped_at
QUALITY_BYTES = {2: 16, 3: 4}  # by dimensions of the grid: four numbers of an image, one of a shape
SHARD_BYTES = 4096  # a shard's schema and its receipt, about
LOOK_S = 5.0


def dataset_bytes(plan: StudyPlan, trial: TrialConfig, *, size: SignalSize, rungs: int) -> int:
    """Bytes of the trial's neural dataset on disk, within a few per cent."""
    field = build(trial.dataset.field, in_dim=size.in_dim, out_dim=size.out_dim, fields=plan.fields)
    rows = size.signals * trial.dataset.views
    row = 4 * parameter_count(field) + COLUMN_BYTES + QUALITY_BYTES.get(size.in_dim, 4)
    return rungs * (rows * row + SHARD_BYTES * -(-size.signals // SHARD_SIGNALS) * trial.dataset.views)


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
    if cell.trials is None:
        ladders: dict[str, list[TrialConfig]] = {}
        for trial in grid_trials(plan, cell):
            ladders.setdefault(trial.dataset.digest, []).append(trial)
        sizes = [
            dataset_bytes(plan, ladder[0], size=size, rungs=len({trial.steps for trial in ladder}))
            for ladder in ladders.values()
        ]
    else:
        drawn = [dataset_bytes(plan, trial, size=size, rungs=1) for trial in sampled_trials(plan, cell)]
        sizes = [round(fmean(drawn))] * cell.trials
    kept = sum(sizes) if best is None else sum(sorted(sizes)[-best:] if best else [])
    return CellDisk(cell.phase, cell.cell, sum(sizes), kept)


def free_bytes(root: str) -> int | None:
    """Free space where a root is or will be; None where the root is no directory of this machine."""
    if "://" in root:
        return None
    path = Path(root)
    while not path.exists() and path != path.parent:
        path = path.parent
    return shutil.disk_usage(path).free


def ledger_folder(ledger: str) -> str | None:
    """The directory of a ledger that is a file; None for one on a server."""
    file = ledger_file(ledger)
    return None if file is None else str(file.absolute().parent)


@final
class DiskWatch:
    """Says when too little space is left: what is asked for, and what the fits under way may still write.

    The ledger's disk may be another than the root's; only the asked-for space is kept free there.

    Args:
        min_free_gb: gigabytes (1e9 bytes) that are left alone; 0 never stops.
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
        self._sizes: dict[str, int] = {}
        self._signals: dict[str, SignalSize] = {}
        self.problem: DiskLow | None = None

    def step(self) -> bool:
        """Whether space is low; looks every few seconds, and once it was low it stays so for this run."""
        if self._least and self.problem is None and self._clock() - self._looked >= LOOK_S:
            self._looked = self._clock()
            self.look()
        return self.problem is not None

    def look(self) -> None:
        """Find out now."""
        free = self._free(self._place.root)
        coming = sum(self._coming())
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

    def _coming(self) -> Iterable[int]:
        """Bytes of the fits under way."""
        for trial in list(self._run.under_way.values()):
            suggestion = trial.suggestion
            if suggestion.dataset not in self._sizes:
                signals = suggestion.trial.dataset.signals
                text = signals.canonical_json()
                if text not in self._signals:
                    self._signals[text] = signal_size(self._run.plan, signals)
                self._sizes[suggestion.dataset] = dataset_bytes(
                    self._run.plan, suggestion.trial, size=self._signals[text], rungs=len(suggestion.rungs)
                )
            if not self._run.is_ready(suggestion):
                yield self._sizes[suggestion.dataset]
