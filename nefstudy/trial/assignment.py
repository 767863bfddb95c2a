"""The message from the driver to a worker: one attempt at one trial."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

_KEY = "assignment"


@dataclass(frozen=True)
class Assignment:
    """One attempt at a trial.

    Attributes:
        task: name of the task.
        config: canonical JSON of the trial's configuration.
        key: of the trial.
        token: of the attempt.
        objective: metric that the result must hold.
        ladders: step counts to fit, by digest of a neural dataset that is not there yet.
        halvings: how often the fit's chunk is halved, after attempts that ran out of memory.
        fits: of the same shape in the study.
        gpus: share of a GPU to reserve.
        pruner: name of the pruner that may end the trial early; `none` for none.
    """

    task: str
    config: str
    key: str
    token: int
    objective: str
    ladders: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    halvings: int = 0
    fits: int | None = None
    gpus: float = 0.0
    pruner: str = "none"

    def to_tune(self) -> dict[str, Any]:
        """Return it as the configuration of a Ray Tune trial."""
        return {_KEY: json.dumps(asdict(self)), "gpus": self.gpus}

    @classmethod
    def from_tune(cls, config: Mapping[str, Any]) -> Self:
        """Return the assignment that `to_tune` wrote."""
        data: dict[str, Any] = json.loads(config[_KEY])
        ladders = {digest: tuple(rungs) for digest, rungs in data["ladders"].items()}
        return cls(**data | {"ladders": ladders})
