"""The shapes of the answers, as pydantic models: what OpenAPI documents and tests validate against."""

from typing import Any

from pydantic import BaseModel

from nefstudy.insight.progress import Best
from nefstudy.insight.status import StudyCard


class Studies(BaseModel):
    """Every study of the ledger, latest change first."""

    studies: list[StudyCard]


class StudyDetail(StudyCard):
    """A study with its plan."""

    plan: dict[str, Any]


class Trial(BaseModel):
    """A trial as it stands in a page of trials; `parameters` is its configuration, flat; `score` its objective."""

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


class TrialDetail(Trial):
    """One trial with its configuration, fingerprint, curves and the names of its artifacts.

    Attributes:
        log: last lines of what a failed trial said; empty for others.
    """

    config: dict[str, Any]
    fingerprint: dict[str, str]
    curves: dict[str, list[tuple[float, float | None]]]
    artifacts: list[str]
    log: list[str]


class TrialPage(BaseModel):
    """A page of trials; `cursor` asks for the next one and is None on the last."""

    trials: list[dict[str, Any]]
    cursor: str | None


class BestTrials(BaseModel):
    """The best complete trials by their cells' objectives, best first."""

    best: list[Best]


class Command(BaseModel):
    """What was asked of a study's driver; `outcome` is None until it has obeyed."""

    id: int
    study: str
    verb: str
    body: dict[str, Any]
    created_at: float
    settled_at: float | None
    outcome: str | None


class Commands(BaseModel):
    """Commands of a study, latest first."""

    commands: list[Command]


class NeuralDataset(BaseModel):
    """A neural dataset by its recipe's digest: the step counts it holds, its size and how it was made."""

    digest: str
    rungs: list[int]
    bytes: int
    fingerprint: dict[str, str]
    state: str
    created_at: float


class NeuralDatasets(BaseModel):
    """Every neural dataset the ledger knows."""

    neural_datasets: list[NeuralDataset]
