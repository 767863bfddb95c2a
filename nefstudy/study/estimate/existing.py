"""Existing results of a plan in the ledger, and its existing neural datasets under the root."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from rich.table import Table

from nefstudy.errors import BadInput, BadLedger
from nefstudy.ledger import Ledger, TrialState
from nefstudy.ledger.sql.rows import TERMINAL
from nefstudy.neural_dataset.schema import Manifest
from nefstudy.paths import DATASETS, manifest_path
from nefstudy.signals.catalog import load_signals
from nefstudy.storage import Storage
from nefstudy.study.driver.rules import needs_retry
from nefstudy.study.estimate.cost import sampled_trials
from nefstudy.study.estimate.disk import GB, free_bytes, plan_disk
from nefstudy.study.locations import Locations
from nefstudy.study.plan.study_plan import CellPlan, StudyPlan, listed_trials

States = Mapping[tuple[str, str], TrialState]
Counts = Mapping[tuple[str, str, TrialState], int]


@dataclass(frozen=True)
class ExistingWork:
    """Counts of a cell's trials and fits that need not run again; a count is None if the data is not on this machine.

    Attributes:
        results: trials whose results are in the ledger.
        fits: ladders that need no fit because their neural dataset or all of their results exist.
    """

    phase: str
    cell: str
    results: int | None
    fits: int | None


def existing_work(plan: StudyPlan, locations: Locations) -> list[ExistingWork]:
    """Return the existing work of every cell, in the plan's order, without changing anything or creating a ledger."""
    try:
        ledger = Ledger.open(locations.ledger, read_only=True, timeout_s=5.0)
    except BadLedger:
        if not _holds_datasets(locations.root):
            return [ExistingWork(cell.phase, cell.cell, 0, 0) for cell in plan.cells]
        return _existing(plan, locations, complete=set(), own={}, counts={})
    with ledger:
        complete = {
            key
            for study in ledger.studies.all()
            for (_, key), (state, _) in ledger.trials.states(study.study).items()
            if state is TrialState.COMPLETE
        }
        own = {ref: state for ref, (state, _) in ledger.trials.states(plan.study).items()}
        failed = ledger.trials.page(plan.study, state=TrialState.FAILED, limit=None).rows
        again = [row for row in failed if needs_retry(row)]  # a run retries these
        own = {ref: state for ref, state in own.items() if ref not in {(row.phase, row.key) for row in again}}
        counts = Counter(ledger.trials.counts(plan.study))
        counts.subtract(Counter((row.phase, row.cell, row.state) for row in again))
    return _existing(plan, locations, complete=complete, own=own, counts=counts)


def _holds_datasets(root: str) -> bool:
    """Return whether a root contains neural datasets; False if the root cannot be listed."""
    try:
        return bool(Storage.at(root).names(DATASETS))
    except OSError:
        return False


def _existing(
    plan: StudyPlan, locations: Locations, *, complete: set[str], own: States, counts: Counts
) -> list[ExistingWork]:
    found = []
    for cell in plan.cells:
        if cell.sampler.listed(plan.sampled(cell)) is None:
            ended = sum(n for (p, c, s), n in counts.items() if (p, c) == (cell.phase, cell.cell) and s in TERMINAL)
            ended = min(ended, cell.planned)
            drawn = [len(plan.task(cell).needs(trial)) for trial in sampled_trials(plan, cell)]
            found.append(ExistingWork(cell.phase, cell.cell, ended, round(ended * fmean(drawn))))
        else:
            found.append(_listed(plan, cell, locations, complete=complete, own=own))
    return found


def _listed(plan: StudyPlan, cell: CellPlan, locations: Locations, *, complete: set[str], own: States) -> ExistingWork:
    try:
        content = load_signals(cell.signals, sources=plan.signals).card.content_hash
    except BadInput:
        return ExistingWork(cell.phase, cell.cell, None, None)
    pinned = replace(cell, signals=cell.signals.model_copy(update={"content": content}))
    ladders: dict[str, set[int]] = {}
    results = 0
    for trial in listed_trials(plan, pinned) or ():
        answered = trial.key in complete or own.get((cell.phase, trial.key)) in TERMINAL
        results += answered
        for need in plan.task(cell).needs(trial):
            ladders.setdefault(need.digest, set())
            if not answered:
                ladders[need.digest].add(need.rung)
    storage = Storage.at(locations.root)
    fits = sum(not left or _is_fitted(storage, digest, left) for digest, left in ladders.items())
    return ExistingWork(cell.phase, cell.cell, results, fits)


def _is_fitted(storage: Storage, digest: str, rungs: set[int]) -> bool:
    """Return whether a complete neural dataset contains every rung that is still needed."""
    path = manifest_path(digest)
    if storage.size(path) is None:
        return False
    try:
        manifest = Manifest.from_json(storage.read(path), where=storage.locate(path))
    except (BadInput, OSError):
        return False
    return rungs <= {record.steps for record in manifest.rungs}


def existing_summary(plan: StudyPlan, locations: Locations, *, best: int | None) -> dict[str, Any]:
    """Return the `reuse` and `disk` sections of `nefstudy plan --json`.

    Args:
        best: number of best trials of a cell whose neural datasets are kept; None keeps all.
    """
    reuse = [vars(found) for found in existing_work(plan, locations)]
    disk = [vars(cell) for cell in plan_disk(plan, best=best)]
    total = {name: sum(cell[name] for cell in disk) for name in ("bytes", "kept_bytes")}
    return {
        "reuse": reuse,
        "disk": {"root": locations.root, "free_bytes": free_bytes(locations.root), "cells": disk, **total},
    }


def existing_table(summary: dict[str, Any]) -> Table:
    """Return a table of existing results, existing fits, and gigabytes to write and to keep, per phase and cell."""
    disk = summary["disk"]
    free = "" if disk["free_bytes"] is None else f", where {disk['free_bytes'] / GB:,.1f} GB are free"
    table = Table(
        title="existing results, and disk space",
        caption=f"at {disk['root']}{free}. Kept: what remains under --keep when no trial needs more.",
        show_footer=True,
        caption_justify="left",
        box=None,
        pad_edge=False,
        collapse_padding=True,
    )
    totals = {name: sum(found[name] or 0 for found in summary["reuse"]) for name in ("results", "fits")}
    table.add_column("phase", "all", no_wrap=True)
    table.add_column("cell", no_wrap=True)
    table.add_column("existing results", f"{totals['results']:,}", justify="right", no_wrap=True)
    table.add_column("existing fits", f"{totals['fits']:,}", justify="right", no_wrap=True)
    table.add_column("GB", f"{disk['bytes'] / GB:,.3f}", justify="right", no_wrap=True)
    table.add_column("kept", f"{disk['kept_bytes'] / GB:,.3f}", justify="right", no_wrap=True)
    for found, cell in zip(summary["reuse"], disk["cells"], strict=True):
        counts = ["no data" if found[name] is None else f"{found[name]:,}" for name in ("results", "fits")]
        sizes = (f"{cell['bytes'] / GB:,.3f}", f"{cell['kept_bytes'] / GB:,.3f}")
        table.add_row(found["phase"], found["cell"], *counts, *sizes)
    return table
