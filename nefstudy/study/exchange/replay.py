"""Replay of a ledger trial under a scratch root, compared with the recorded result."""

import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf, nan
from pathlib import Path

import torch
from rich.table import Table

from nefstudy.config import parse
from nefstudy.errors import BadConfig
from nefstudy.fitting.engines.catalog import ENGINES
from nefstudy.ledger import Ledger, TrialRow, TrialState
from nefstudy.tasks.catalog import TASKS, task_named
from nefstudy.tasks.result import TrialResult
from nefstudy.tasks.setting import Catalogs, Setting
from nefstudy.tasks.task import Task
from nefstudy.trial.process_state import isolated
from nefstudy.trial.provenance import UNKNOWN, made_by, revision

COSTS = ("field_steps", "_seconds", "_mb")  # suffixes of metrics that measure cost, not quality
FIT_MARKS = ("engine", "optimizer", "torch", "device", "cpu_capability", "threads", "dtype")
NUMBER_MARKS = ("numpy", "scipy", "scikit-learn", "workers")  # other marks on which metrics may depend

TOLERANCES: Mapping[str, float] = {
    "accuracy": 0.03,
    "accuracy_all": 0.03,
    "nmi": 0.03,
    "ami": 0.03,
    "psnr": 0.1,
    "ssim": 0.01,
    "iou": 0.01,
    "ratio_bilinear": 0.1,
    "ratio_published": 0.1,
    "loss": 0.1,
    "diverged": 0.0,
    "constant": 0.0,
    "signals": 0.0,
    "parameters": 0.0,
}
"""Largest allowed difference of a metric when the fingerprints differ, by the end of its name."""

SIGNALS_OFF = 10  # an accuracy, and a count of diverged or constant fields, may also differ by this many signals


@dataclass(frozen=True)
class Line:
    """One compared quantity: the recorded value, the new value, and the allowed difference."""

    what: str
    held: float | str | None
    found: float | str | None
    allowed: float | None
    same: bool


@dataclass(frozen=True)
class Replay:
    """The comparison of a trial with its replay.

    Attributes:
        exact: whether the fingerprints are equal, so that bytes and numbers must be equal too.
        differences: (recorded, new) values of each mark of the fingerprint or libraries that differs.
    """

    key: str
    study: str
    phase: str
    cell: str
    exact: bool
    differences: dict[str, tuple[str, str]]
    lines: tuple[Line, ...]

    @property
    def same(self) -> bool:
        """Whether all compared quantities agree."""
        return all(line.same for line in self.lines)


def replay(
    ledger: Ledger,
    key: str,
    *,
    catalogs: Catalogs | None = None,
    tasks: Mapping[str, Task] = TASKS,
    scratch: Path | None = None,
) -> Replay:
    """Recompute a finished trial from its configuration in the ledger, and compare the results.

    Args:
        catalogs: the code that the configuration may name.
        tasks: the tasks of trials, by name.
        scratch: folder for temporary files; the system's own by default.

    Raises:
        BadConfig: no such trial, or one without a result.
        BadSignals: the signals are not where the configuration says, or have changed.
    """
    row = ledger.trials.get(key)
    if row is None or row.state is not TrialState.COMPLETE:
        reason = "no such trial is in the ledger" if row is None else f"it is {row.state}"
        raise BadConfig(f"trial {key}: {reason}; pass the key of a COMPLETE one; `nefstudy status --json` lists keys")
    curves = ledger.trials.curves(row.study, row.phase, key=key)
    with tempfile.TemporaryDirectory(prefix="nef-replay-", dir=scratch) as folder:
        return compare(row, curves, computed(row, root=folder, catalogs=catalogs or Catalogs(), tasks=tasks))


def computed(row: TrialRow, *, root: str, catalogs: Catalogs, tasks: Mapping[str, Task]) -> TrialResult:
    """Recompute a trial's result under an empty root, with the engine that computed the original."""
    task = task_named(row.task, tasks)
    config = parse(task.config, row.config, where=row.key)
    engine = row.fingerprint.get("engine", "auto")
    setting = Setting(
        root=root,
        clock=time.monotonic,
        catalogs=catalogs,
        engine=engine if engine in ENGINES else "auto",
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(int(row.fingerprint.get("threads", "1")))
    try:
        with isolated(seed=config.seed):
            result = task.run(config, setting=setting)
    finally:
        torch.set_num_threads(threads)
    return replace(result, made_by=made_by(revision=revision(os.environ), workers=0))


def compare(row: TrialRow, curves: Mapping[str, list[tuple[float, float]]], result: TrialResult) -> Replay:
    """Compare a trial in the ledger with a new result of the same configuration."""
    found = result.provenance
    marks = (*FIT_MARKS, *NUMBER_MARKS, "python", "nefstudy", "revision", "processor")
    pairs = {mark: (row.fingerprint.get(mark, UNKNOWN), found.get(mark, UNKNOWN)) for mark in marks}
    pairs["workers"] = (_alone(pairs["workers"][0]), _alone(pairs["workers"][1]))
    differences = {mark: pair for mark, pair in pairs.items() if pair[0] != pair[1]}
    fits_alike = not set(FIT_MARKS) & set(differences)
    exact = fits_alike and not set(NUMBER_MARKS) & set(differences)
    held_hash = row.fingerprint.get("rung_sha256")
    lines = []
    if held_hash or result.rung_sha256:  # a task may read no neural dataset
        # under other conditions, only values are promised to agree
        same = held_hash == result.rung_sha256 or not fits_alike or held_hash is None
        lines = [Line("neural dataset", held_hash, result.rung_sha256, None, same)]
    signals = result.metrics.get("signals", inf)
    lines += [
        _line(name, row.metrics.get(name), result.metrics.get(name), exact=exact, signals=signals)
        for name in sorted({*row.metrics, *result.metrics})
        if not name.endswith(COSTS)
    ]
    if exact:
        epochs = sorted(name for name in curves if name in ("train_loss", "train_accuracy", "val_loss", "val_accuracy"))
        lines += [_curve(name, curves[name], result.curves.get(name, [])) for name in epochs]
    return Replay(row.key, row.study, row.phase, row.cell, exact, differences, tuple(lines))


def _alone(workers: str) -> str:
    """Return `0` if `workers` is `1`, because training with one worker is identical to training without workers."""
    return "0" if workers == "1" else workers


def _line(name: str, held: float | None, found: float | None, *, exact: bool, signals: float) -> Line:
    if exact:
        return Line(name, held, found, 0.0, repr(held) == repr(found))
    kind = next((kind for kind in TOLERANCES if name == kind or name.endswith(f"_{kind}")), None)
    if kind is None:
        return Line(name, held, found, None, same=True)
    shares, counts = ("accuracy", "accuracy_all"), ("diverged", "constant")
    slack = SIGNALS_OFF / signals if kind in shares else float(SIGNALS_OFF) if kind in counts else 0.0
    allowed = TOLERANCES[kind] + slack
    apart = 0.0 if repr(held) == repr(found) else abs(nan if held is None or found is None else held - found)
    return Line(name, held, found, allowed, apart <= allowed)


def _curve(name: str, held: list[tuple[float, float]], found: list[tuple[int, float]]) -> Line:
    apart = sum(a != b for a, b in zip(held, found, strict=False)) + abs(len(held) - len(found))
    return Line(f"curve {name}", f"{len(held)} epochs", f"{apart} differ", 0.0, apart == 0)


def replay_table(found: Replay) -> Table:
    """Return the comparison as a table for the terminal."""
    promised = "same fingerprint and libraries: everything must be equal"
    if not found.exact:
        named = ", ".join(f"{mark} {a} -> {b}" for mark, (a, b) in found.differences.items())
        promised = f"conditions differ ({named}): metrics must agree within `allowed`"
    table = Table(
        title=f"trial {found.key}, {found.phase} {found.cell} of {found.study}",
        caption=promised,
        caption_justify="left",
        box=None,
        pad_edge=False,
    )
    for name in ("what", "ledger", "now", "allowed", ""):
        table.add_column(name, justify="left" if name in ("what", "") else "right", no_wrap=True)
    for line in found.lines:
        allowed = "" if line.allowed is None else f"{line.allowed:.3g}"
        table.add_row(line.what, _shown(line.held), _shown(line.found), allowed, "" if line.same else "DIFFERS")
    return table


def _shown(value: float | str | None) -> str:
    if value is None:
        return "-"
    return value[:16] if isinstance(value, str) else f"{value:.6g}"
