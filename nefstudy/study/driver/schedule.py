"""Scheduling state: queued trials, trials in flight, and the capacity to run them."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from math import inf
from typing import Any, Protocol, final

from nefstudy.ledger import Lease
from nefstudy.study.samplers.stream import Suggestion
from nefstudy.tasks.progress import TrialProgress
from nefstudy.tasks.result import TrialResult
from nefstudy.trial.assignment import Assignment

SILENT_S = 300.0  # without a report, after which a trial is silent; fits report in seconds, epochs take longer


@dataclass(frozen=True)
class Capacity:
    """The limits on trials in flight: how many may run, and how many GPUs they may use together."""

    trials: float = inf
    gpus: float = inf


class DiskCheck(Protocol):
    """The disk-space checks that a run makes before it hands out a trial."""

    def refusal(self, suggestion: Suggestion, *, asked: bool = False) -> str | None:
        """Return why a trial would not fit on the disk even if no fits were in flight, or None if it would fit."""

    def must_wait(self, suggestion: Suggestion) -> bool:
        """Return whether a trial has to wait for disk space until the fits in flight have ended."""


@dataclass(frozen=True)
class QueuedTrial:
    """A queued trial, which is handed out before any trial that a stream suggests.

    Attributes:
        token: token of its open attempt; None if it has not been claimed yet.
        not_before: earliest time to hand it out, by the run's clock.
    """

    suggestion: Suggestion
    token: int | None = None
    not_before: float = -inf


@final
class TrialQueue:
    """A queue of trials to hand out before any suggestion; retries wait until their pause is over."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._trials: list[QueuedTrial] = []

    def __iter__(self) -> Iterator[QueuedTrial]:
        return iter(self._trials)

    def __len__(self) -> int:
        return len(self._trials)

    @property
    def has_paused_retry(self) -> bool:
        """Whether a retry is waiting for its pause to end."""
        now = self._clock()
        return any(queued.not_before > now for queued in self._trials)

    def append(self, queued: QueuedTrial, *, pause_s: float = 0.0) -> None:
        """Append a trial, to be handed out after a pause."""
        self._trials.append(replace(queued, not_before=self._clock() + pause_s))

    def requeue(self, queued: QueuedTrial) -> None:
        """Put a trial at the front of the queue."""
        self._trials.insert(0, queued)

    def pop(self, busy: Collection[str]) -> QueuedTrial | None:
        """Remove and return the first trial whose pause is over and whose neural datasets are not being fitted."""
        now = self._clock()
        ready = (t for t in self._trials if t.not_before <= now and not t.suggestion.waits_for(busy))
        chosen = next(ready, None)
        self.keep(lambda other: other is not chosen)
        return chosen

    def take(self, ref: tuple[str, str]) -> QueuedTrial | None:
        """Remove and return the trial with the given (phase, key); None if it is not queued."""
        chosen = next((queued for queued in self._trials if queued.suggestion.ref == ref), None)
        self.keep(lambda other: other is not chosen)
        return chosen

    def keep(self, is_kept: Callable[[QueuedTrial], bool]) -> None:
        """Keep only the trials that satisfy a predicate."""
        self._trials = [queued for queued in self._trials if is_kept(queued)]


@dataclass
class TrialInFlight:
    """A trial that has been handed out and has not ended.

    Attributes:
        gpus: GPUs that it takes.
        chunk_halvings: how often its chunk is halved, because of its earlier attempts.
        silent_s: seconds since its last report, or since it started.
    """

    suggestion: Suggestion
    token: int
    gpus: float = 0.0
    chunk_halvings: int = 0
    started: bool = False
    progress: TrialProgress | None = None
    silent_s: float = 0.0

    def assignment(self, *, fits_per_shape: int, pruner: str) -> Assignment:
        """Return the assignment that is sent to the trial's worker."""
        s = self.suggestion
        return Assignment(
            task=s.trial.task,
            config=s.trial.canonical_json(),
            key=s.trial.key,
            token=self.token,
            objective=s.objective,
            ladders=s.ladders,
            chunk_halvings=self.chunk_halvings,
            fits_per_shape=fits_per_shape,
            gpus=self.gpus,
            pruner=pruner,
        )

    def outcome(self, result: TrialResult, lease: Lease) -> dict[str, Any]:
        """Return the arguments that record a completed or pruned trial's result in the ledger."""
        claim = {"key": self.suggestion.trial.key, "token": self.token, "lease": lease}
        return claim | {"curves": result.curves, "fingerprint": result.provenance}
