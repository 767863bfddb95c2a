"""A watch over running trials: their time limit, and workers that do not report."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from nefstudy.study.run import StudyRun
from nefstudy.study.turns import SILENT_S, UnderWay
from nefstudy.tasks.progress import Working

SILENCE = "silent"  # the kind of event that lists the trials without a report


@dataclass
class _Watch:
    """When a trial started, by the watchdog's clock, and when it last reported."""

    started: float
    heard: float
    progress: Working | None = None


@final
class Watchdog:
    """Ends trials that run longer than allowed, and notes for how long each has not reported.

    The time counts from a trial's start, not from its claim. A worker in a loop of C code cannot be interrupted, so
    the run has it killed.

    Args:
        max_hours: of a trial; None sets no limit.
    """

    def __init__(self, run: StudyRun, *, max_hours: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._silent: set[tuple[str, str]] = set()
        self._told = 0.0
        self._run = run
        self._most_s = None if max_hours is None else 3600 * max_hours
        self._max_hours = max_hours
        self._clock = clock
        self._watched: dict[str, _Watch] = {}

    def step(self) -> None:
        """Look at every trial in flight."""
        now = self._clock()
        in_flight = {trial_id: trial for trial_id, trial in self._run.under_way.items() if trial.started}
        self._watched = {trial_id: self._watch(trial_id, trial, now) for trial_id, trial in in_flight.items()}
        for trial_id, watch in self._watched.items():
            in_flight[trial_id].silent_s = now - watch.heard
            if self._most_s is not None and now - watch.started > self._most_s:
                error = (
                    f"ran longer than {self._max_hours:g} h (--max-trial-hours) and was killed; allow more, then retry"
                )
                self._run.abandon(trial_id, cause="timeout", error=error)

        self._tell_silence(now)

    def _tell_silence(self, now: float) -> None:
        """Record which trials are silent when that changes, and every few minutes while any is."""
        silent = [trial for trial in self._run.under_way.values() if trial.silent_s >= SILENT_S]
        places = {trial.suggestion.place for trial in silent}
        if places == self._silent and (not places or now - self._told < SILENT_S):
            return
        self._silent, self._told = places, now
        trials = [
            {"phase": s.phase, "cell": s.cell, "key": s.trial.key, "since": time.time() - trial.silent_s}
            for trial in silent
            for s in [trial.suggestion]
        ]
        self._run.ledger.events.append(self._run.plan.study, SILENCE, data={"trials": trials})

    def _watch(self, trial_id: str, trial: UnderWay, now: float) -> _Watch:
        watch = self._watched.get(trial_id) or _Watch(now, now)
        if trial.progress is not watch.progress:
            watch.heard, watch.progress = now, trial.progress
        return watch
