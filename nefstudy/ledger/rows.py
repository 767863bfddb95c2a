"""The values a ledger gives back: one frozen dataclass for each kind of row."""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from nefstudy.scalars import Scalar


class TrialState(StrEnum):
    """Where a trial is in its life; `COMPLETE` is the one that never changes again."""

    REQUESTED = "REQUESTED"
    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    FAILED = "FAILED"
    INTERRUPTED = "INTERRUPTED"
    PRUNED = "PRUNED"


OPEN = (TrialState.REQUESTED, TrialState.RUNNING)
TEXTS = ("config", "parameters", "needs", "metrics", "fingerprint")  # of a trial, stored as JSON


@dataclass(frozen=True)
class StudyRow:
    """A study: its plan as the study layer wrote it, and what its driver last said it is doing."""

    study: str
    state: str
    plan: dict[str, Any]
    created_at: float
    updated_at: float


@dataclass(frozen=True)
class TrialRow:
    """One trial of one phase of a study: what was asked, how it went, what it measured.

    Times are UTC seconds of the latest attempt. Metrics may be NaN or infinite; `score` is the finite value of the
    metric that is the objective of the trial's cell, None without one.
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
    """Return a value that is a finite number, None for any other."""
    return float(value) if value is not None and math.isfinite(value) else None


@dataclass(frozen=True)
class End:
    """When a trial ended and started (UTC seconds), and one of its metrics."""

    at: float
    started_at: float | None
    measure: float | None


@dataclass(frozen=True)
class Coverage:
    """Of one phase and cell: trials that ended and were not reused, how many of them measured more than zero, and the
    distinct neural datasets of all that ended.
    """

    ended: int
    measured: int
    datasets: int


@dataclass(frozen=True)
class Page:
    """Some trials in order, and the cursor that continues after them (None at the end)."""

    rows: tuple[TrialRow, ...]
    cursor: str | None


@dataclass(frozen=True)
class StoredPage:
    """The same by column names, with the values of `TEXTS` as the JSON texts that are stored."""

    rows: tuple[dict[str, Any], ...]
    cursor: str | None


@dataclass(frozen=True)
class EventRow:
    """One thing that happened, numbered in the order of its commit."""

    seq: int
    study: str
    kind: str
    phase: str | None
    key: str | None
    data: dict[str, Any]
    at: float


@dataclass(frozen=True)
class CommandRow:
    """What somebody asked of a study's driver, and how that ended once it is settled."""

    id: int
    study: str
    verb: str
    body: dict[str, Any]
    created_at: float
    settled_at: float | None
    outcome: str | None


@dataclass(frozen=True)
class OutboxRow:
    """A trial whose result has not been exported yet, how often that was begun, and what last went wrong."""

    id: int
    study: str
    phase: str
    key: str
    attempt: int
    tries: int
    error: str | None


@dataclass(frozen=True)
class NeuralDatasetRow:
    """A neural dataset on disk: its place under the root, its rungs, and whether it is still there."""

    digest: str
    path: str
    rungs: tuple[int, ...]
    bytes: int
    fingerprint: dict[str, str]
    state: str = "present"
    created_at: float = 0.0
