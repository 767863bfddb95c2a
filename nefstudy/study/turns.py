"""A trial's turn with the driver: wished for before others, then under way until it ends."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from math import inf
from typing import Any, Protocol, final

from nefstudy.ledger import Lease
from nefstudy.study.samplers.stream import Suggestion
from nefstudy.tasks.progress import Working
from nefstudy.tasks.result import TrialResult
from nefstudy.trial.assignment import Assignment

SILENT_S = 300.0  # without a report, after which it is shown; a fit reports every few seconds, an epoch takes longer


@dataclass(frozen=True)
class Room:
    """How much may be under way at once: so many trials, and together no more than so many GPUs."""

    trials: float = inf
    gpus: float = inf


class Disk(Protocol):
    """What a run asks about free space before it hands out a trial."""

    def refusal(self, suggestion: Suggestion, *, asked: bool = False) -> str | None:
        """Return why a trial does not fit even with no other fit in flight; None if it does."""

    def must_wait(self, suggestion: Suggestion) -> bool:
        """Return whether a trial fits only once fits in flight have ended."""


@dataclass(frozen=True)
class Wish:
    """A trial to hand out before what streams suggest; its row is open under this token, or not yet (None).

    Attributes:
        not_before: time of the run's clock from which it may be handed out.
    """

    suggestion: Suggestion
    token: int | None = None
    not_before: float = -inf


@final
class Queue:
    """Trials to hand out before what streams suggest, in their order; a retry not before its time."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._wishes: list[Wish] = []

    def __iter__(self) -> Iterator[Wish]:
        return iter(self._wishes)

    def __len__(self) -> int:
        return len(self._wishes)

    @property
    def pauses(self) -> bool:
        """Whether a retry waits for its time."""
        now = self._clock()
        return any(wish.not_before > now for wish in self._wishes)

    def append(self, wish: Wish, *, pause_s: float = 0.0) -> None:
        """Add a trial at the end, to be handed out after a pause."""
        self._wishes.append(replace(wish, not_before=self._clock() + pause_s))

    def put_back(self, wish: Wish) -> None:
        """Add a trial at the front, where it was."""
        self._wishes.insert(0, wish)

    def pop(self, busy: Collection[str]) -> Wish | None:
        """Remove and return the first trial whose time has come and whose neural dataset is not being fitted."""
        now = self._clock()
        ready = (w for w in self._wishes if w.not_before <= now and not w.suggestion.waits_for(busy))
        wish = next(ready, None)
        self.keep(lambda other: other is not wish)
        return wish

    def take(self, place: tuple[str, str]) -> Wish | None:
        """Remove and return the trial of a (phase, key), if it is queued."""
        wish = next((wish for wish in self._wishes if wish.suggestion.place == place), None)
        self.keep(lambda other: other is not wish)
        return wish

    def keep(self, is_kept: Callable[[Wish], bool]) -> None:
        """Remove all trials but those for which a function is true."""
        self._wishes = [wish for wish in self._wishes if is_kept(wish)]


@dataclass
class UnderWay:
    """A trial that was handed out and has not ended.

    Attributes:
        halvings: how often its chunk is halved, by its earlier attempts.
        silent_s: seconds since its last report, or since it started.
    """

    suggestion: Suggestion
    token: int
    gpus: float = 0.0
    halvings: int = 0
    started: bool = False
    progress: Working | None = None
    silent_s: float = 0.0

    def assignment(self, *, fits: int, pruner: str) -> Assignment:
        """Return what its worker is to do."""
        s = self.suggestion
        return Assignment(
            task=s.trial.task,
            config=s.trial.canonical_json(),
            key=s.trial.key,
            token=self.token,
            objective=s.objective,
            ladders=s.ladders,
            halvings=self.halvings,
            fits=fits,
            gpus=self.gpus,
            pruner=pruner,
        )

    def outcome(self, result: TrialResult, lease: Lease) -> dict[str, Any]:
        """Return what the ledger records of a result, however the trial ended."""
        claim = {"key": self.suggestion.trial.key, "token": self.token, "lease": lease}
        return claim | {"curves": result.curves, "fingerprint": result.provenance}
