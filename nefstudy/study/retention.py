"""Which neural datasets a study keeps, and which may go; thirty thousand of them would be terabytes.

`all` keeps every one, `best:N` those that the N best trials of each phase and cell have read, `none` none. One that
a trial still needs stays whatever the plan keeps: of a trial that waits or runs, of a grid's ladder with a rung to
come. A neural dataset read by several studies stays while any of them wants it. What was dropped can be computed
again: `nefstudy replay KEY` does.
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
from nefstudy.neural_dataset.remove import folder_outside, remove_neural_dataset, sweep_dropped
from nefstudy.paths import DATASETS, dataset_path
from nefstudy.storage import Storage
from nefstudy.study.described import described_cells
from nefstudy.study.plan import CellPlan, StudyPlan, listed_trials
from nefstudy.study.rules import rule_of
from nefstudy.study.run import StudyRun
from nefstudy.study.samplers.stream import DONE

KEEP = "keep"  # the plan's word, beside its phases
log = logging.getLogger(__name__)
PERIOD_S = 60.0
COLUMNS = ("phase", "cell", "key", "dataset", "state", "cause", "score")


def parse_keep(text: str) -> int | None:
    """How many best trials of each cell keep their neural dataset; None keeps all.

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
    """Whether a neural dataset goes, and why, in words."""

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
    """A verdict on every neural dataset that the ledger holds to be there, oldest first.

    Args:
        keep: by study, in place of what its plan says.
        plan: the plan of a study that runs, in place of its description in the ledger.
        root: look here too, for what failed trials left or a drop that was cut off.
        on_skip: called with one line for each study whose plan cannot be used; all that it has read stays.
    """
    wanted: dict[str, str] = {}
    cells: dict[str, str] = {}
    for study in ledger.studies.all():
        reasons, read = _wants(ledger, study, keep=(keep or {}).get(study.study), plan=plan, on_skip=on_skip)
        wanted |= reasons
        cells |= read
    sizes = {row.digest: row.bytes for row in ledger.datasets.all() if row.state != DROPPED}
    storage = Storage.at(root or ".")
    if root is not None:
        sizes |= {name: storage.total(dataset_path(name)) for name in storage.names(DATASETS) if name not in sizes}
    found = []
    for digest, size in sizes.items():
        known = digest in cells
        reason = wanted.get(digest, "no trial wants it any more" if known else "no trial of this ledger read it")
        goes = known and digest not in wanted
        outside = folder_outside(storage, digest) if root is not None and goes else None
        if outside is not None:
            goes, reason = False, f"a symbolic link leads to {outside}, outside the root: remove it there by hand"
        found.append(Verdict(digest, cells.get(digest, ""), size, goes=goes, reason=reason))
    return found


@final
class Retention:
    """What a running study drops as it goes, by its own plan; the driver's thread alone hands out trials meanwhile."""

    def __init__(self, run: StudyRun, root: str, *, keep: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._run = run
        self._root = root
        self._keep = {run.plan.study: keep}
        self._all = parse_keep(keep) is None
        self._clock = clock
        self._swept = clock()
        self._logged: set[str] = set()

    def step(self) -> None:
        """Drop what may go, once a minute."""
        if not self._all and self._clock() - self._swept >= PERIOD_S:
            self.sweep()

    def sweep(self) -> None:
        """Drop what may go now."""
        if self._all:
            return
        self._swept = self._clock()
        wanted = self._run.wanted
        _sweep(self._run.ledger, self._root)
        for verdict in verdicts(self._run.ledger, keep=self._keep, plan=self._run.plan, on_skip=self._log_once):
            if verdict.goes and verdict.dataset not in wanted and not self._lies_outside(verdict.dataset):
                drop(self._run.ledger, self._root, verdict.dataset, held=(self._run.lease,))
                self._run.forget(verdict.dataset)

    def _lies_outside(self, digest: str) -> bool:
        """Return whether a neural dataset stays because a symbolic link leads to it; the log names each folder once."""
        folder = folder_outside(Storage.at(self._root), digest)
        if folder is not None:
            self._log_once(
                f"neural datasets in {folder} stay whatever --keep is, for a symbolic link leads there, outside the "
                "root: remove them by hand, or put the whole root on that disk"
            )
        return folder is not None

    def _log_once(self, line: str) -> None:
        if line not in self._logged:
            self._logged.add(line)
            log.warning("%s", line)


def collect(ledger: Ledger, root: str, *, keep: Mapping[str, str] | None = None) -> list[Verdict]:
    """Drop what may go, no study at work meanwhile; the verdicts on all there was.

    Raises:
        StudyBusy: a driver is at work on a study of this ledger; it drops by its own plan.
    """
    with ExitStack() as kept:
        held: list[Lease] = []
        for study in ledger.studies.all():
            held.append(ledger.leases.acquire(study.study, Owner.here()))
            kept.callback(ledger.leases.release, held[-1], state=study.state)
            kept.enter_context(Heartbeat(ledger.leases, held[-1]))
        _sweep(ledger, root)
        found = verdicts(ledger, keep=keep, root=root, on_skip=log.warning)
        for verdict in found:
            if verdict.goes:
                drop(ledger, root, verdict.dataset, held=held, all_studies=True)
        return found


def drop(ledger: Ledger, root: str, digest: str, *, held: Sequence[Lease] = (), all_studies: bool = False) -> None:
    """Remove a neural dataset that no trial in flight reads; cut off at any point, it is whole or counts as absent.

    Files that cannot be removed now, such as those that are open on a network file system, are left to the next sweep.

    Args:
        held: leases that must be held until the end, also when this process was suspended.
        all_studies: whether these must be the leases of all studies, so that none was begun since.

    Raises:
        StudyBusy: a lease was lost or a study was begun; what was not removed by then stays.
    """

    def check() -> None:
        ledger.leases.check_held(*held)
        others = (
            {study.study for study in ledger.studies.all()} - {lease.study for lease in held} if all_studies else ()
        )
        if others:
            raise StudyBusy(f"study {min(others)!r} was begun while neural datasets were dropped; run this again later")

    if not ledger.datasets.begin_drop(digest, held=held):
        return
    try:
        remove_neural_dataset(root, digest, check=check)
    except (OSError, BadRoot) as error:
        log.warning("neural dataset %s cannot be removed now: %s", digest, getattr(error, "strerror", None) or error)
        return
    ledger.datasets.end_drop(digest, held=held)


def _sweep(ledger: Ledger, root: str) -> None:
    """Finish the drops of processes that were killed in their middle."""
    present = {row.digest for row in ledger.datasets.all() if row.state not in (DROPPING, DROPPED)}
    sweep_dropped(root, is_present=present.__contains__)


def _wants(
    ledger: Ledger,
    study: StudyRow,
    *,
    keep: str | None,
    plan: StudyPlan | None,
    on_skip: Callable[[str], object],
) -> tuple[dict[str, str], dict[str, str]]:
    """Why a study wants neural datasets, by digest; and the cell of each that it has ever named."""
    named = study.study
    columns = ledger.trials.columns(named, COLUMNS, state=None)
    rows = [dict(zip(COLUMNS, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    cells = {row["dataset"]: row["cell"] for row in rows}
    try:
        listed = list(_listed_cells(study, plan if plan is not None and plan.study == named else None))
    except BadConfig as error:
        on_skip(str(error))
        return dict.fromkeys(cells, str(error)), cells
    best = parse_keep(keep or study.plan.get(KEEP, "all"))
    reasons = {} if best is not None else dict.fromkeys(cells, f"{named} keeps all")
    reasons |= _best(rows, study, count=best or 0)
    ended = [row for row in rows if row["state"] in DONE and not _is_to_do(row)]
    done = {(row["phase"], row["key"]) for row in ended}
    reasons |= _pending(named, cells, listed=listed, done=done)
    waiting = {row["dataset"] for row in rows if (row["phase"], row["key"]) not in done}
    reasons |= dict.fromkeys(waiting, f"a trial of {named} waits for it or runs")
    return reasons, cells


def _is_to_do(row: Mapping[str, Any]) -> bool:
    return row["state"] == TrialState.FAILED and rule_of(row["cause"]).anew


def _best(rows: Iterable[Mapping[str, Any]], study: StudyRow, *, count: int) -> dict[str, str]:
    minimized = (cell for cell in study.plan.get("cells", ()) if cell["objective"]["direction"] == "minimize")
    signs = {(cell["phase"], cell["cell"]): -1 for cell in minimized}
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["state"] == TrialState.COMPLETE and row["score"] is not None:
            groups[row["phase"], row["cell"]].append(row)
    return {
        row["dataset"]: f"among the {count} best of {study.study} {phase} {cell}"
        for (phase, cell), found in groups.items()
        for row in sorted(found, key=lambda row: (-signs.get((phase, cell), 1) * row["score"], row["key"]))[:count]
    }


def _pending(
    study: str,
    cells: Mapping[str, str],
    *,
    listed: Iterable[tuple[StudyPlan, CellPlan]],
    done: set[tuple[str, str]],
) -> dict[str, str]:
    """Return why listed trials still need neural datasets: rungs to come, or trials that only a script can list."""
    reasons: dict[str, str] = {}
    for plan, cell in listed:
        try:
            trials = list(listed_trials(plan, cell) or ())
        except BadInput:
            reason = f"only the script of {study} knows what {cell.cell} needs"
            reasons |= {digest: reason for digest, name in cells.items() if name == cell.cell}
            continue
        needs = plan.task(cell).needs
        waiting = (trial for trial in trials if (cell.phase, trial.key) not in done)
        pending = {need.digest for trial in waiting for need in needs(trial)}
        reasons |= dict.fromkeys(pending & set(cells), f"a trial of {study} has still to read it")
    return reasons


def _listed_cells(study: StudyRow, plan: StudyPlan | None) -> Iterator[tuple[StudyPlan, CellPlan]]:
    """Yield the cells of the plan at hand, then those that only the ledger describes.

    Raises:
        BadConfig: the ledger's description cannot be read.
    """
    own = set() if plan is None else {(cell.phase, cell.cell) for cell in plan.cells}
    if plan is not None:
        yield from ((plan, cell) for cell in plan.cells)
    for cell in described_cells(study, without=own):
        yield StudyPlan(study=study.study, cells=(cell,), seed=int(study.plan["seed"])), cell
