"""Values that a ledger returns: one frozen dataclass per kind of row."""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from nefstudy.scalars import Scalar


class TrialState(StrEnum):
    """State of a trial's latest attempt; `COMPLETE` never changes again."""

    REQUESTED = "REQUESTED"
    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    FAILED = "FAILED"
    INTERRUPTED = "INTERRUPTED"
    PRUNED = "PRUNED"

    @property
    def is_terminal(self) -> bool:
        """Whether the trial has ended for good; an INTERRUPTED trial is not terminal, because it is retried."""
        return self in TERMINAL


OPEN = (TrialState.REQUESTED, TrialState.RUNNING)
COMPLETED = (TrialState.COMPLETE, TrialState.PRUNED)  # terminal, with a result
TERMINAL = (*COMPLETED, TrialState.FAILED)
TEXTS = ("config", "parameters", "needs", "metrics", "fingerprint")  # of a trial, stored as JSON


@dataclass(frozen=True)
class StudyRow:
    """A study: its plan as written by its driver, and the state that the driver last reported."""

    study: str
    state: str
    plan: dict[str, Any]
    created_at: float
    updated_at: float


@dataclass(frozen=True)
class TrialRow:
    """One trial of one phase of a study: its request, state and measurements.

    Times are UTC seconds of the latest attempt. Metrics may be NaN or infinite; `score` is the trial's value of its
    cell's objective, None unless it is finite.
    """

    study: str
    phase: str
    key: str
    cell: str
    task: str
    state: TrialState
    attempt: int
    seed: int
    config: dict[str, Any]
    parameters: dict[str, Scalar]
    score: float | None
    metrics: dict[str, float]
    cause: str | None
    error: str | None
    dataset: str | None
    needs: tuple[str, ...]
    fingerprint: dict[str, str]
    reused: bool
    requested_at: float
    started_at: float | None
    ended_at: float | None


def finite(value: float | None) -> float | None:
    """Return a finite value as a float, and None for any other value."""
    return float(value) if value is not None and math.isfinite(value) else None


@dataclass(frozen=True)
class TrialEnd:
    """The start and end of a trial (UTC seconds), one of its metrics, and its cell."""

    at: float
    started_at: float | None
    measure: float | None
    phase: str = ""
    cell: str = ""


@dataclass(frozen=True)
class Coverage:
    """Counts and sums over the completed trials of one phase and cell.

    Attributes:
        ended: trials that were not reused.
        measured: the number of these whose metric is above zero.
        datasets: distinct neural datasets, including those of reused trials.
        seconds: sum of the times from start to end of trials that were not reused.
        amount: sum of the metric over the measured trials.
        part_seconds: sum of a second metric over the measured trials: seconds of the part that the first one counts.
    """

    ended: int
    measured: int
    datasets: int
    seconds: float = 0.0
    amount: float = 0.0
    part_seconds: float = 0.0


@dataclass(frozen=True)
class TrialRowPage:
    """A page of trials in order, with the cursor of the next page (None on the last page)."""

    rows: tuple[TrialRow, ...]
    cursor: str | None


@dataclass(frozen=True)
class StoredPage:
    """A page of trials as dictionaries by column name, with the columns in `TEXTS` left as JSON text."""

    rows: tuple[dict[str, Any], ...]
    cursor: str | None


@dataclass(frozen=True)
class EventRow:
    """An event, numbered in commit order."""

    seq: int
    study: str
    kind: str
    phase: str | None
    key: str | None
    data: dict[str, Any]
    at: float


@dataclass(frozen=True)
class CommandRow:
    """A command from a user to a study's driver, with its outcome once settled."""

    id: int
    study: str
    verb: str
    body: dict[str, Any]
    created_at: float
    settled_at: float | None
    outcome: str | None


@dataclass(frozen=True)
class OutboxRow:
    """A trial whose result is not exported yet, with the number of tries and the last error."""

    id: int
    study: str
    phase: str
    key: str
    attempt: int
    tries: int
    error: str | None


@dataclass(frozen=True)
class NeuralDatasetRow:
    """A neural dataset on disk: its path under the root, its rungs, and whether it is still present."""

    digest: str
    path: str
    rungs: tuple[int, ...]
    bytes: int
    fingerprint: dict[str, str]
    state: str = "present"
    created_at: float = 0.0
