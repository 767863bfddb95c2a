"""Rules that end trials of a search early if their validation accuracy is low compared with earlier trials.

A rule considers only ended trials in the ledger, so that a resumed study and an uninterrupted one decide alike.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import median as middle

Curve = Mapping[int, float]
"""Validation accuracy by epoch, from 1."""

ETA = 3  # one in ETA trials continues after a milestone (Li et al. 2020, section 3: 4; Optuna and Ray: 3 to 4)
STARTUP = 5  # ended trials of a cell before the median rule applies, as in Vizier and Optuna
WARMUP = 0.2  # fraction of the epochs before the median rule applies


@dataclass(frozen=True)
class EndedCurve:
    """The validation curve of a finished trial, which stops before the last epoch if the trial was pruned."""

    curve: Curve
    pruned: bool


@dataclass(frozen=True)
class Pruner:
    """A rule that ends trials early, and the epochs at which the rule applies.

    Attributes:
        is_due: whether the rule applies at an epoch, given the number of epochs.
        prunes: whether to end a trial, given its curve up to that epoch and the ended trials of its cell.
    """

    is_due: Callable[[int, int], bool]
    prunes: Callable[[Curve, Sequence[EndedCurve]], bool]


def milestones(epochs: int) -> tuple[int, ...]:
    """Return the epochs at which ASHA compares trials: one ninth and one third of all epochs, rounded up."""
    return tuple(sorted({ceil(epochs / ETA**2), ceil(epochs / ETA)} - {epochs}))


def asha(own: Curve, others: Sequence[EndedCurve]) -> bool:
    """Return whether a trial is outside the best third of the trials that reached its latest epoch.

    Asynchronous successive halving in its stopping form (Li et al. 2020): trials do not wait for others to reach it.
    """
    epoch = max(own)
    here = sorted([own[epoch], *(other.curve[epoch] for other in others if epoch in other.curve)], reverse=True)
    return own[epoch] < here[max(1, len(here) // ETA) - 1]


def median(own: Curve, others: Sequence[EndedCurve]) -> bool:
    """Return whether a trial's best value is below the median of complete trials at the trial's latest epoch.

    This is the median stopping rule (Golovin et al. 2017).
    """
    epoch = max(own)
    here = [other.curve[epoch] for other in others if not other.pruned and epoch in other.curve]
    return len(here) >= STARTUP and max(own.values()) < middle(here)


PRUNERS: Mapping[str, Pruner] = {
    "asha": Pruner(is_due=lambda epoch, epochs: epoch in milestones(epochs), prunes=asha),
    "median": Pruner(is_due=lambda epoch, epochs: WARMUP * epochs < epoch < epochs, prunes=median),
}
"""Pruners by the names that `--pruner` accepts; `none` means no pruner."""
