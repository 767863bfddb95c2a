"""A watchdog for running trials, which enforces the time limit and reports silent workers."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from nefstudy.study.driver.run import StudyRun
from nefstudy.study.driver.schedule import SILENT_S, TrialInFlight
from nefstudy.tasks.progress import TrialProgress

SILENCE = "silent"  # kind of the event that lists the silent trials


@dataclass
class _Watch:
    """The times of a trial's start and last report, measured by the watchdog's clock."""

    started: float
    reported: float
    progress: TrialProgress | None = None


@final
class Watchdog:
    """A watchdog that ends trials over the time limit and tracks the time since each trial's last report.

    The time counts from a trial's start, not from its claim. A worker in a loop of C code cannot be interrupted, so
    the run has it killed.

    Args:
        max_hours: time limit of a trial; None sets no limit.
    """

    def __init__(self, run: StudyRun, *, max_hours: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._silent: set[tuple[str, str]] = set()
        self._recorded_at = 0.0
        self._run = run
        self._max_s = None if max_hours is None else 3600 * max_hours
        self._max_hours = max_hours
        self._clock = clock
        self._watched: dict[str, _Watch] = {}

    def step(self) -> None:
        """Check every trial in flight."""
        now = self._clock()
        started = {trial_id: trial for trial_id, trial in self._run.in_flight.items() if trial.started}
        self._watched = {trial_id: self._watch(trial_id, trial, now) for trial_id, trial in started.items()}
        for trial_id, watch in self._watched.items():
            started[trial_id].silent_s = now - watch.reported
            if self._max_s is not None and now - watch.started > self._max_s:
                error = (
                    f"ran longer than {self._max_hours:g} h (--max-trial-hours) and was killed; allow more, then retry"
                )
                self._run.abandon(trial_id, cause="timeout", error=error)
        self._record_silence(now)

    def _record_silence(self, now: float) -> None:
        """Record which trials are silent each time this set changes, and every few minutes while it is not empty."""
        silent = [trial for trial in self._run.in_flight.values() if trial.silent_s >= SILENT_S]
        refs = {trial.suggestion.ref for trial in silent}
        if refs == self._silent and (not refs or now - self._recorded_at < SILENT_S):
            return
        self._silent, self._recorded_at = refs, now
        trials = [
            {"phase": s.phase, "cell": s.cell, "key": s.trial.key, "since": time.time() - trial.silent_s}
            for trial in silent
            for s in [trial.suggestion]
        ]
        self._run.ledger.events.append(self._run.plan.study, SILENCE, data={"trials": trials})

    def _watch(self, trial_id: str, trial: TrialInFlight, now: float) -> _Watch:
        watch = self._watched.get(trial_id) or _Watch(now, now)
        if trial.progress is not watch.progress:
            watch.reported, watch.progress = now, trial.progress
        return watch
