"""Records of trials and cells: plain values, no configuration class."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from nefstudy.scalars import Scalar

Direction = Literal["maximize", "minimize"]


@dataclass(frozen=True)
class TrialRecord:
    """One trial as it is requested.

    Attributes:
        key: the digest of its configuration.
        config: the canonical JSON of its configuration.
        parameters: the scalars of its configuration by their flat names.
        needs: digests of the artifacts that it reads; none of them is dropped while the trial is open.
        dataset: the one of them that is a neural dataset, None without one.
    """

    key: str
    task: str
    cell: str
    seed: int
    config: str
    parameters: Mapping[str, Scalar]
    needs: tuple[str, ...] = ()
    dataset: str | None = None


@dataclass(frozen=True)
class CellRecord:
    """What one cell does in one phase: how many trials of which task, and the metric that is a trial's score."""

    planned: int
    task: str
    metric: str
    direction: Direction
