"""Tests of the estimated remaining time of a two-phase study, compared with the actual time."""

import json
import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from nefstudy.insight.progress import Progress, progress
from nefstudy.ledger import Ledger

from ..ledger.records import as_cells, as_record
from .small_study import STUDY, trial_config

TRIALS = """
1 siren 0 10 8 12 2; 1 siren 1 10 12 16 1; 1 siren 2 10 16 19 1; 1 siren 3 10 19 22 1; 1 rffnet 0 75 8 33 21;
1 rffnet 1 75 33 52 17; 1 mfn 0 75 22 55 27; 1 rffnet 2 75 52 70 16; 1 rffnet 3 75 70 75 5; 1 mfn 1 75 55 81 21;
1 mfn 2 75 75 91 12; 1 mfn 3 75 81 99 15; 2 siren 0 75 91 109 13; 2 rffnet 0 75 99 129 22; 2 siren 1 75 109 147 29;
2 siren 2 75 147 165 13; 2 rffnet 1 75 129 178 40; 2 siren 3 75 165 182 9; 2 siren 0 25 182 186 0;
2 siren 1 25 186 194 0; 2 siren 2 25 194 199 0; 2 siren 3 25 199 206 0; 2 rffnet 2 75 178 207 23;
2 siren 0 10 206 211 0; 2 siren 1 10 211 219 0; 2 siren 2 10 219 223 0; 2 siren 3 10 223 231 0;
2 rffnet 3 75 207 239 24; 2 rffnet 0 25 239 245 0; 2 rffnet 1 25 245 253 0; 2 rffnet 2 25 253 259 0;
2 rffnet 3 25 259 268 0; 2 rffnet 0 10 268 274 0; 2 mfn 0 75 231 282 38; 2 rffnet 1 10 274 283 0;
2 rffnet 2 10 283 288 0; 2 rffnet 3 10 288 297 0; 2 mfn 1 75 297 325 14; 2 mfn 2 75 282 361 56;
2 mfn 0 25 361 375 0; 2 mfn 3 75 325 379 30; 2 mfn 1 25 379 393 0; 2 mfn 2 25 375 399 0; 2 mfn 0 10 399 412 0;
2 mfn 3 25 393 416 0; 2 mfn 1 10 416 430 0; 2 mfn 2 10 412 435 0; 2 mfn 3 10 430 452 0
"""
"""The smoke study as two cores ran it: phase, field, neural dataset, steps, start, end, seconds of fitting.

The first phase is a search with 400 signals, the second a grid with 800, whose first fits provide the other rungs.
"""
FIELDS = ("siren", "rffnet", "mfn")
COUNTS = {"1": 400, "2": 800}
BEGAN = 1_000.0


class Timed(NamedTuple):
    """A trial with its start and end times, in seconds since the driver acquired the study."""

    phase: str
    field: str
    number: int
    steps: int
    start: int
    end: int
    fit: int

    @property
    def cell(self) -> str:
        return f"mnist5k/{self.field}"

    @property
    def metrics(self) -> dict[str, float]:
        steps = float(COUNTS[self.phase] * self.steps) if self.fit else 0.0
        return {"val_accuracy": 0.5, "field_steps": steps, "fit_seconds": float(self.fit)}


def timed_trials() -> list[Timed]:
    """Return the study's trials, parsed from `TRIALS`."""
    words = (line.split() for line in TRIALS.split(";"))
    return [Timed(phase, field, *map(int, numbers)) for phase, field, *numbers in words]


LOG = timed_trials()
LAST = max(trial.end for trial in LOG)
SECOND = [trial.end for trial in LOG if trial.phase == "2"]


def plan_of(counts: Mapping[str, int | None]) -> dict[str, Any]:
    """Return the plan of the logged study as the driver records it."""
    choices = {"steps": [10, 25, 75], "init": ["shared", "random"], "hidden": [16, 32]}
    grid = {name: {"kind": "Categorical", "values": values} for name, values in choices.items()}
    search = {**grid, "lr": {"kind": "Real", "low": 1e-4, "high": 1e-2, "log": True}}
    return {
        "cells": [
            {
                "phase": phase, "cell": f"mnist5k/{field}", "task": "classification", "space": space,
                "sampler": {"name": sampler}, "covers_space": phase == "2", "planned": planned,
                "signals": {"name": "mnist5k"}, "count": count,
            }
            for phase, sampler, space, planned in (("1", "Tpe", search, 4), ("2", "Grid", grid, 12))
            for field in FIELDS
            for count in [counts[phase]]
        ]
    }  # fmt: skip


@pytest.fixture(scope="module")
def finished_ledger(tmp_path_factory) -> Path:
    """Return the path of a ledger that contains the whole finished study."""
    path = tmp_path_factory.mktemp("finished") / "ledger.db"
    with Ledger.open(str(path)) as ledger:
        cells = plan_of(COUNTS)["cells"]
        ledger.studies.put(STUDY, {}, cells=as_cells({(c["phase"], c["cell"]): c["planned"] for c in cells}))
        keys = [run(ledger, trial) for trial in LOG]
    with closing(sqlite3.connect(path)) as connection, connection:
        for trial, key in zip(LOG, keys, strict=True):
            times = (BEGAN + trial.start, BEGAN + trial.end, key)
            connection.execute("UPDATE trials SET started_at = ?, ended_at = ? WHERE key = ?", times)
    return path


def run(ledger: Ledger, trial: Timed) -> str:
    """Request, start and complete a trial; return its key."""
    config = trial_config(trial.cell, steps=trial.steps, lr=1e-3 * (1 + trial.number) + 1e-4 * int(trial.phase))
    token = ledger.trials.request(STUDY, trial.phase, record=as_record(config))
    ledger.trials.start(STUDY, trial.phase, key=config.key, token=token)
    ledger.trials.complete(STUDY, trial.phase, key=config.key, token=token, metrics=trial.metrics)
    return config.key


def rewind(path: Path, now: float, *, plan: Mapping[str, Any]) -> None:
    """Rewind a ledger to its state at a given time.

    Trials that ended later are running, and trials that started later are deleted.
    """
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE studies SET plan = ?", (json.dumps(plan),))
        for table, number in (("measures", "trial_id"), ("documents", "trial_id"), ("trials", "id")):
            later = "started_at" if table == "trials" else "ended_at"
            delete = f"DELETE FROM {table} WHERE {number} IN (SELECT id FROM trials WHERE {later} > ?)"
            connection.execute(delete, (BEGAN + now,))
        connection.execute("UPDATE trials SET state = 'RUNNING', ended_at = NULL WHERE ended_at > ?", (BEGAN + now,))


@pytest.fixture
def progress_at(finished_ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that returns the study's progress at a given time."""
    monkeypatch.setattr("nefstudy.insight.progress.driver_since", lambda *_: BEGAN)

    def compute(now: float, *, counts: Mapping[str, int | None] = COUNTS) -> Progress:
        path = tmp_path / "ledger.db"
        shutil.copyfile(finished_ledger, path)
        rewind(path, now, plan=plan_of(counts))
        with Ledger.open(str(path)) as ledger:
            return progress(ledger, STUDY, now=BEGAN + now)

    return compute


@pytest.mark.parametrize("ended", [1, 2, 3, 6, 12, 24, 32])
def test_time_left_of_a_later_phase_uses_its_own_trials(progress_at, ended: int):
    """Once a trial of the grid has ended, the estimated remaining time is within a factor of two of the actual time.

    The preceding search does not distort it.
    """
    now = SECOND[ended - 1] + 0.5
    current = progress_at(now)
    first, second = current.phases
    assert (first.remaining, first.eta_s, second.remaining) == (0, 0.0, 36 - ended)
    assert 0.5 < current.eta_s / (LAST - now) < 2
    assert current.eta_s == pytest.approx(second.eta_s)


def test_time_left_of_a_new_phase_is_scaled_from_the_previous_one(progress_at):
    """Before a phase's first trial ends, the phase's remaining time is estimated from the previous phase's times.

    The scaling uses the plan's signal and step counts. Without a signal count, there is no estimate.
    """
    now = 99.5  # the search has ended, and the first fits of the grid are running
    current = progress_at(now)
    assert 0.5 < current.eta_s / (LAST - now) < 2
    assert (current.eta_low_s, current.eta_high_s) == (None, None)
    for counts in ({"1": None, "2": 800}, {"1": 400, "2": None}):
        assert progress_at(now, counts=counts).eta_s is None


def test_the_rate_of_a_phase_counts_from_its_own_start(progress_at):
    """The rate of a phase is measured from its own start, however long the previous phase took.

    A phase with one trial in 18 seconds has a rate of 60/18 per minute.
    """
    current = progress_at(109.0)
    assert current.phases[1].per_minute == pytest.approx(60 / 18)
    assert current.phases[1].fits_per_minute == pytest.approx(60 / 18)
    assert current.per_minute == pytest.approx(60 * 13 / 109)


def test_time_left_falls_steadily(progress_at):
    """During the grid, the estimated remaining time never rises by more than half from one sampled time to the next."""
    shown = [progress_at(now + 0.5).eta_s for now in sorted(SECOND)[::4]]
    assert all(later < 1.5 * earlier for earlier, later in pairwise(shown))
