"""A trial's turn with the driver: wished for before others, then under way until it ends."""

from dataclasses import dataclass
from math import inf

from nefstudy.study.streams import Suggestion
from nefstudy.trial.progress import Working


@dataclass(frozen=True)
class Wish:
    """A trial to hand out before what streams suggest; its row is open under this token, or not yet (None).

    Attributes:
        not_before: time of the run's clock from which it may be handed out.
    """

    suggestion: Suggestion
    token: int | None = None
    not_before: float = -inf


@dataclass
class UnderWay:
    """A trial that was handed out and has not ended; `halvings` of its chunk follow from earlier attempts."""

    suggestion: Suggestion
    token: int
    gpus: float = 0.0
    halvings: int = 0
    started: bool = False
    progress: Working | None = None
