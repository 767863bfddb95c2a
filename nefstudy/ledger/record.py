"""Trials and cells as written to the ledger: plain values instead of configuration classes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from nefstudy.scalars import Scalar

Direction = Literal["maximize", "minimize"]


@dataclass(frozen=True)
class TrialRecord:
    """A request for one trial.

    Attributes:
        key: digest of the trial's configuration.
        config: canonical JSON of the configuration.
        parameters: scalars of the configuration by flat name.
        needs: digests of the artifacts that the trial reads; these are not dropped while the trial is open.
        dataset: digest of the first neural dataset in `needs`, by which trials are sorted and filtered, or None.
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
    """The plan of a cell in one phase: number of trials, task, and the metric used as the score."""

    planned: int
    task: str
    metric: str
    direction: Direction
