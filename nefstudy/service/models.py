"""Pydantic models of the responses, which document the API in OpenAPI and validate it in tests."""

from typing import Any

from pydantic import BaseModel

from nefstudy.insight.progress import BestTrial
from nefstudy.insight.status import StudyCard


class StudyList(BaseModel):
    """All studies in the ledger, most recently changed first."""

    studies: list[StudyCard]


class StudyDetail(StudyCard):
    """A study with its plan."""

    plan: dict[str, Any]


class Trial(BaseModel):
    """A trial in a page of trials.

    `parameters` is its flattened configuration, and `score` its value of the objective.
    """

    study: str
    phase: str
    key: str
    cell: str
    task: str
    state: str
    attempt: int
    seed: int
    score: float | None
    metrics: dict[str, float | None]
    parameters: dict[str, bool | int | float | str]
    cause: str | None
    error: str | None
    dataset: str | None
    reused: bool
    requested_at: float | None
    started_at: float | None
    ended_at: float | None


class MetricLabel(BaseModel):
    """A displayed metric: label, unit, number of decimals, and the split on which it was measured."""

    label: str
    unit: str
    digits: int
    split: str | None


class TrialDetail(Trial):
    """One trial with its configuration, fingerprint, curves and the names of its artifacts.

    Attributes:
        labels: labels of the trial's metrics and curves by name, as declared in the study's plan.
        log: last lines of a failed trial's log; empty for other trials.
    """

    config: dict[str, Any]
    fingerprint: dict[str, str]
    curves: dict[str, list[tuple[float, float | None]]]
    artifacts: list[str]
    labels: dict[str, MetricLabel]
    log: list[str]


class TrialPage(BaseModel):
    """A page of trials.

    Pass `cursor` to request the next page; it is None on the last page.
    """

    trials: list[dict[str, Any]]
    cursor: str | None


class BestTrials(BaseModel):
    """The best complete trials by their cells' objectives, best first."""

    best: list[BestTrial]


class Command(BaseModel):
    """A command to a study's driver; `outcome` is None until the driver has handled it."""

    id: int
    study: str
    verb: str
    body: dict[str, Any]
    created_at: float
    settled_at: float | None
    outcome: str | None


class CommandList(BaseModel):
    """Commands to a study's driver, latest first."""

    commands: list[Command]


class NeuralDatasetView(BaseModel):
    """A neural dataset: the digest of its recipe, its step counts and size, and how it was made."""

    digest: str
    rungs: list[int]
    bytes: int
    fingerprint: dict[str, str]
    state: str
    created_at: float


class NeuralDatasetList(BaseModel):
    """All neural datasets in the ledger."""

    neural_datasets: list[NeuralDatasetView]
