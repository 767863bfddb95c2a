"""Retention of neural datasets: which datasets a study keeps. Keeping all 30,000 would take terabytes.

`all` keeps every dataset, `best:N` those that the N best trials of each phase and cell have read, and `none` keeps
none. A trial may read several datasets. A neural dataset always stays while a trial still needs it: a trial that is
waiting or running, or one that has yet to read a rung of a grid's ladder. A dataset that several studies read stays
while any of them needs it. `nefstudy replay KEY` recomputes a dropped dataset.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, final

from nefstudy.errors import BadConfig, BadInput, BadRoot, StudyBusy
from nefstudy.ledger import Heartbeat, Lease, Ledger, Owner, StudyRow, TrialState
from nefstudy.ledger.datasets import DROPPED, DROPPING
from nefstudy.ledger.sql.rows import TERMINAL
from nefstudy.neural_dataset.remove import folder_outside, remove_neural_dataset, sweep_dropped
from nefstudy.paths import DATASETS, dataset_path
from nefstudy.storage import Storage
from nefstudy.study.driver.rules import rule_of
from nefstudy.study.driver.run import StudyRun
from nefstudy.study.plan.recorded import described_cells
from nefstudy.study.plan.study_plan import CellPlan, StudyPlan, listed_trials
from nefstudy.tasks.catalog import TASKS

KEEP = "keep"  # key of the stored plan
log = logging.getLogger(__name__)
PERIOD_S = 60.0
COLUMNS = ("phase", "cell", "key", "state", "cause", "score")


def parse_keep(text: str) -> int | None:
    """Return how many best trials per cell keep their neural dataset; None keeps all.

    Raises:
        BadConfig: neither `all`, `best:N` nor `none`.
    """
    if text in ("all", "none"):
        return None if text == "all" else 0
    word, _, number = text.partition(":")
    if word == "best" and number.isdigit() and int(number) > 0:
        return int(number)
    raise BadConfig(f"keep {text!r}: allowed are all, best:N (N of 1 or more) and none; correct --keep")


@dataclass(frozen=True)
class Verdict:
    """The decision on a neural dataset: whether to drop it, and why."""

    dataset: str
    cell: str
    bytes: int
    goes: bool
    reason: str


def verdicts(
    ledger: Ledger,
    *,
    keep: Mapping[str, str] | None = None,
    plan: StudyPlan | None = None,
    root: str | None = None,
    on_skip: Callable[[str], object] = lambda _line: None,
) -> list[Verdict]:
    """Return a verdict on every neural dataset that the ledger lists as present, oldest first.

    Args:
        keep: retention per study, which overrides that of its plan.
        plan: the plan of the running study, used instead of its description in the ledger.
        root: include the neural datasets under this root that failed trials or interrupted drops left.
        on_skip: called with one line for each study whose plan cannot be used; all that it has read stays.
    """
    needed: dict[str, str] = {}
    cells: dict[str, str] = {}
    for study in ledger.studies.all():
        reasons, read = _needed_by(ledger, study, keep=(keep or {}).get(study.study), plan=plan, on_skip=on_skip)
        needed |= reasons
        cells |= read
    sizes = {row.digest: row.bytes for row in ledger.datasets.all() if row.state != DROPPED}
    storage = Storage.at(root or ".")
    if root is not None:
        sizes |= {name: storage.total_size(dataset_path(name)) for name in storage.names(DATASETS) if name not in sizes}
    decided = []
    for digest, size in sizes.items():
        known = digest in cells
        reason = needed.get(digest, "no trial needs it any more" if known else "no trial of this ledger read it")
        goes = known and digest not in needed
        outside = folder_outside(storage, digest) if root is not None and goes else None
        if outside is not None:
            goes, reason = False, f"a symbolic link points to {outside}, outside the root: remove it there by hand"
        decided.append(Verdict(digest, cells.get(digest, ""), size, goes=goes, reason=reason))
    return decided


@final
class Retention:
    """The retention of a running study, applied in the driver's thread so that no trial starts during a drop."""

    def __init__(self, run: StudyRun, root: str, *, keep: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._run = run
        self._root = root
        self._keep = {run.plan.study: keep}
        self._all = parse_keep(keep) is None
        self._clock = clock
        self._swept = clock()
        self._logged: set[str] = set()

    def step(self) -> None:
        """Drop unneeded neural datasets, at most once a minute."""
        if not self._all and self._clock() - self._swept >= PERIOD_S:
            self.sweep()

    def sweep(self) -> None:
        """Drop unneeded neural datasets now."""
        if self._all:
            return
        self._swept = self._clock()
        needed = self._run.needed_datasets
        _sweep(self._run.ledger, self._root)
        for verdict in verdicts(self._run.ledger, keep=self._keep, plan=self._run.plan, on_skip=self._log_once):
            if verdict.goes and verdict.dataset not in needed and not self._is_outside(verdict.dataset):
                drop(self._run.ledger, self._root, verdict.dataset, held=(self._run.lease,))
                self._run.forget(verdict.dataset)

    def _is_outside(self, digest: str) -> bool:
        """Return whether a dataset is kept because a symbolic link leads outside the root; log each directory once."""
        folder = folder_outside(Storage.at(self._root), digest)
        if folder is not None:
            self._log_once(
                f"neural datasets in {folder} stay regardless of --keep, because a symbolic link leads there, outside "
                "the root: remove them by hand, or move the whole root to that disk"
            )
        return folder is not None

    def _log_once(self, line: str) -> None:
        if line not in self._logged:
            self._logged.add(line)
            log.warning("%s", line)


def collect(ledger: Ledger, root: str, *, keep: Mapping[str, str] | None = None) -> list[Verdict]:
    """Drop unneeded neural datasets while no study runs; return a verdict on each dataset.

    Raises:
        StudyBusy: a driver runs a study of this ledger; it drops neural datasets itself, by its plan.
    """
    with ExitStack() as leases:
        held: list[Lease] = []
        for study in ledger.studies.all():
            held.append(ledger.leases.acquire(study.study, Owner.current()))
            leases.callback(ledger.leases.release, held[-1], state=study.state)
            leases.enter_context(Heartbeat(ledger.leases, held[-1]))
        _sweep(ledger, root)
        decided = verdicts(ledger, keep=keep, root=root, on_skip=log.warning)
        for verdict in decided:
            if verdict.goes:
                drop(ledger, root, verdict.dataset, held=held, all_studies=True)
        return decided


def drop(ledger: Ledger, root: str, digest: str, *, held: Sequence[Lease] = (), all_studies: bool = False) -> None:
    """Remove a neural dataset, unless a trial in flight needs it.

    If interrupted at any point, the neural dataset is complete or counts as absent. Files that cannot be removed
    now, such as open files on a network file system, are left to the next sweep.

    Args:
        held: leases that must be held until the end, even if this process is suspended in between.
        all_studies: whether `held` must be the leases of all studies, so that no study was begun since.

    Raises:
        StudyBusy: a lease was lost or a study was begun; files not removed by then stay.
    """

    def check() -> None:
        ledger.leases.check_held(*held)
        others = (
            {study.study for study in ledger.studies.all()} - {lease.study for lease in held} if all_studies else ()
        )
        if others:
            raise StudyBusy(
                f"study {min(others)!r} was started while neural datasets were being dropped; run this again later"
            )

    if not ledger.datasets.begin_drop(digest, leases=held):
        return
    try:
        remove_neural_dataset(root, digest, check=check)
    except (OSError, BadRoot) as error:
        log.warning("neural dataset %s cannot be removed now: %s", digest, getattr(error, "strerror", None) or error)
        return
    ledger.datasets.end_drop(digest, leases=held)


def _sweep(ledger: Ledger, root: str) -> None:
    """Finish removing the neural datasets that a killed process had begun to drop."""
    present = {row.digest for row in ledger.datasets.all() if row.state not in (DROPPING, DROPPED)}
    sweep_dropped(root, is_present=present.__contains__)


def _needed_by(
    ledger: Ledger,
    study: StudyRow,
    *,
    keep: str | None,
    plan: StudyPlan | None,
    on_skip: Callable[[str], object],
) -> tuple[dict[str, str], dict[str, str]]:
    """Return two mappings by digest: the reason why a study needs a neural dataset, and the dataset's cell."""
    name = study.study
    columns = ledger.trials.columns(name, COLUMNS, state=None)
    rows = [dict(zip(COLUMNS, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    needs = ledger.datasets.needs(name)
    rows = [row | {"needs": needs[row["phase"], row["key"]]} for row in rows]
    cells = {digest: row["cell"] for row in rows for digest in row["needs"]}
    try:
        listed = list(_listed_cells(study, plan if plan is not None and plan.study == name else None))
    except BadConfig as error:
        on_skip(str(error))
        return dict.fromkeys(cells, str(error)), cells
    best = parse_keep(keep or study.plan.get(KEEP, "all"))
    reasons = {} if best is not None else dict.fromkeys(cells, f"{name} keeps all")
    reasons |= _best(rows, study, count=best or 0)
    ended = [row for row in rows if row["state"] in TERMINAL and not _needs_retry(row)]
    done = {(row["phase"], row["key"]) for row in ended}
    reasons |= _pending(name, rows, listed=listed, done=done)
    waiting = {digest for row in rows if (row["phase"], row["key"]) not in done for digest in row["needs"]}
    reasons |= dict.fromkeys(waiting, f"a trial of {name} waits for it or is running")
    return reasons, cells


def _needs_retry(row: Mapping[str, Any]) -> bool:
    return row["state"] == TrialState.FAILED and rule_of(row["cause"]).next_run_retries


def _best(rows: Iterable[Mapping[str, Any]], study: StudyRow, *, count: int) -> dict[str, str]:
    minimized = (cell for cell in study.plan.get("cells", ()) if cell["objective"]["direction"] == "minimize")
    signs = {(cell["phase"], cell["cell"]): -1 for cell in minimized}
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["state"] == TrialState.COMPLETE and row["score"] is not None:
            groups[row["phase"], row["cell"]].append(row)
    return {
        digest: f"among the {count} best of {study.study} {phase} {cell}"
        for (phase, cell), trials in groups.items()
        for row in sorted(trials, key=lambda row: (-signs.get((phase, cell), 1) * row["score"], row["key"]))[:count]
        for digest in row["needs"]
    }


def _pending(
    study: str,
    rows: Sequence[Mapping[str, Any]],
    *,
    listed: Iterable[tuple[StudyPlan | None, CellPlan]],
    done: set[tuple[str, str]],
) -> dict[str, str]:
    """Return a reason by digest for each neural dataset that unfinished trials of the study still need or may need."""
    reasons: dict[str, str] = {}
    read = {digest for row in rows for digest in row["needs"]}
    for plan, cell in listed:
        try:
            trials = None if plan is None else list(listed_trials(plan, cell) or ())
        except BadInput:
            trials = None
        if plan is None or trials is None:
            reason = f"only the script of {study} knows what {cell.cell} needs"
            reasons |= {digest: reason for row in rows if row["cell"] == cell.cell for digest in row["needs"]}
            continue
        needs = plan.task(cell).needs
        waiting = (trial for trial in trials if (cell.phase, trial.key) not in done)
        pending = {need.digest for trial in waiting for need in needs(trial)}
        reasons |= dict.fromkeys(pending & read, f"a trial of {study} has yet to read it")
    return reasons


def _listed_cells(study: StudyRow, plan: StudyPlan | None) -> Iterator[tuple[StudyPlan | None, CellPlan]]:
    """Yield the cells of the given plan, then the study's other cells as the ledger describes them.

    The plan of a described cell is None if its task is a custom one.

    Raises:
        BadConfig: the ledger's description cannot be read.
    """
    own = set() if plan is None else {(cell.phase, cell.cell) for cell in plan.cells}
    if plan is not None:
        yield from ((plan, cell) for cell in plan.cells)
    for cell in described_cells(study, without=own):
        is_custom = cell.task not in TASKS
        yield None if is_custom else StudyPlan(study=study.study, cells=(cell,), seed=int(study.plan["seed"])), cell
