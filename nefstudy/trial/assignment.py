"""Messages from the driver to workers: the settings shared by all trials, and one attempt at a trial."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from nefstudy.tasks.catalog import TASKS
from nefstudy.tasks.setting import Catalogs
from nefstudy.tasks.task import Task
from nefstudy.trial.provenance import UNKNOWN, versions_here

_KEY = "assignment"


@dataclass(frozen=True)
class Assignment:
    """One attempt at a trial, as the driver assigns it to a worker.

    Attributes:
        task: name of the task.
        config: canonical JSON of the trial's configuration.
        key: key of the trial.
        token: fencing token of the attempt.
        objective: metric that the result must have.
        ladders: step counts to fit, by digest of a neural dataset that does not exist yet.
        chunk_halvings: how often the fit's chunk is halved, after attempts that ran out of memory.
        fits_per_shape: number of fits in the study that share the cost of compiling this shape.
        gpus: share of a GPU to reserve.
        pruner: name of the pruner that may end the trial early, or `none`.
    """

    task: str
    config: str
    key: str
    token: int
    objective: str
    ladders: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    chunk_halvings: int = 0
    fits_per_shape: int | None = None
    gpus: float = 0.0
    pruner: str = "none"

    def to_tune(self) -> dict[str, Any]:
        """Return the assignment as the configuration of a Ray Tune trial."""
        return {_KEY: json.dumps(asdict(self)), "gpus": self.gpus}

    @classmethod
    def from_tune(cls, config: Mapping[str, Any]) -> Self:
        """Return the assignment contained in a configuration from `to_tune`."""
        data: dict[str, Any] = json.loads(config[_KEY])
        ladders = {digest: tuple(rungs) for digest, rungs in data["ladders"].items()}
        return cls(**data | {"ladders": ladders})


@dataclass(frozen=True)
class TrialSetup:
    """The settings that all trials of a study share; sent once to each Tune actor.

    Attributes:
        workers: 0 runs the trial in the Tune actor; K >= 1 starts a Ray Train group of K workers.
        cpus, gpus: resources of the actor, or of each worker; an actor may reserve a share of a GPU.
        spread: whether to distribute workers over as many nodes as possible instead of as few.
        threads: torch threads of each process.
        storage: directory of Ray Train's run state.
        revision: commit of the code, determined by the driver; workers may run a copy without a repository.
        catalogs: the code that configurations may name.
        tasks: the tasks of trials, by name.
        versions: library versions of the driver, which every worker must match.
    """

    root: str
    storage: str
    catalogs: Catalogs = field(default_factory=Catalogs)
    tasks: Mapping[str, Task] = field(default_factory=lambda: TASKS)
    workers: int = 0
    cpus: float = 1.0
    gpus: float = 0.0
    spread: bool = False
    threads: int = 1
    engine: str = "auto"
    revision: str = UNKNOWN
    versions: dict[str, str] = field(default_factory=versions_here)
