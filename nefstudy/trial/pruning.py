"""Rules by which a search's trial ends early: its classifier's validation accuracy against that of trials before it.

A rule looks at ended trials only, as the ledger holds them, so that a study run again decides as it would have.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import median as middle

Curve = Mapping[int, float]
"""Validation accuracy by epoch, from 1."""

ETA = 3  # of the trials at a rung, one in ETA goes on (Li et al. 2020, section 3: 4; Optuna and Ray: 3 to 4)
STARTUP = 5  # ended trials of a cell before the median counts, as in Vizier and Optuna
WARMUP = 0.2  # of the epochs, in which nothing is compared with the median


@dataclass(frozen=True)
class Ended:
    """What an ended trial of the same cell showed; pruned ones have the epochs they came to."""

    curve: Curve
    pruned: bool


@dataclass(frozen=True)
class Pruner:
    """A rule, and the epochs at which it is asked.

    Attributes:
        asks: whether it is asked at an epoch of so many.
        prunes: whether a trial ends, by its own curve up to that epoch and the ended trials of its cell.
    """

    asks: Callable[[int, int], bool]
    prunes: Callable[[Curve, Sequence[Ended]], bool]


def rungs(epochs: int) -> tuple[int, ...]:
    """The epochs at which ASHA compares: a ninth and a third of all."""
    return tuple(sorted({ceil(epochs / ETA**2), ceil(epochs / ETA)} - {epochs}))


def asha(own: Curve, others: Sequence[Ended]) -> bool:
    """Whether a trial is not among the best third that have come to this epoch.

    Asynchronous successive halving in its stopping form (Li et al. 2020): nobody waits for a rung to fill.
    """
    epoch = max(own)
    here = sorted([own[epoch], *(other.curve[epoch] for other in others if epoch in other.curve)], reverse=True)
    return own[epoch] < here[max(1, len(here) // ETA) - 1]


def median(own: Curve, others: Sequence[Ended]) -> bool:
    """Whether the best so far is below the median of what complete trials had at this epoch (Golovin et al. 2017)."""
    epoch = max(own)
    here = [other.curve[epoch] for other in others if not other.pruned and epoch in other.curve]
    return len(here) >= STARTUP and max(own.values()) < middle(here)


PRUNERS: Mapping[str, Pruner] = {
    "asha": Pruner(asks=lambda epoch, epochs: epoch in rungs(epochs), prunes=asha),
    "median": Pruner(asks=lambda epoch, epochs: WARMUP * epochs < epoch < epochs, prunes=median),
}
"""By name, as `--pruner` takes them; `none` is the absence of one."""
