"""The remaining work of a study: the time that its remaining trials would take if they ran one after another.

The time of a trial is the time of its fit, if it fits a neural dataset, plus the rest. Both are means over the ended
trials of its phase and cell. Until one has ended, they are scaled from other cells with the same task and signals: the
rest by the number of signals, the fit by field-steps. Cells with the same label in other phases take precedence.
Without any such cell, the time is unknown.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

from nefstudy.insight.declared import CellKey, Declarations, Declared
from nefstudy.ledger import Coverage

CoverageByCell = Mapping[CellKey, Coverage]
"""Counts and times of the ended trials of each (phase, cell)."""

NO_COVERAGE = Coverage(0, 0, 0)


@dataclass(frozen=True)
class TrialSeconds:
    """Mean seconds of a cell's trials; unknown values are None.

    Attributes:
        rest: seconds of a trial without its fit.
        fit: seconds of a fit.
    """

    rest: float | None = None
    fit: float | None = None


@dataclass(frozen=True)
class RemainingWork:
    """The remaining trials and the estimated time that they take.

    Attributes:
        seconds: estimated seconds if run one after another, None if unknown.
        is_scaled: whether `seconds` was scaled from trials of other cells.
    """

    trials: int = 0
    seconds: float | None = 0.0
    is_scaled: bool = False


def total_remaining(parts: Iterable[RemainingWork]) -> RemainingWork:
    """Return the sum of several amounts of work; its time is unknown if the time of any amount is unknown."""
    nonempty = [part for part in parts if part.trials]
    known = [part.seconds for part in nonempty if part.seconds is not None]
    return RemainingWork(
        sum(part.trials for part in nonempty),
        sum(known) if len(known) == len(nonempty) else None,
        any(part.is_scaled for part in nonempty),
    )


@dataclass(frozen=True)
class WorkEstimate:
    """Estimated times of trials, and the remaining work of a study's cells."""

    declared: Declarations
    coverage: CoverageByCell

    @cached_property
    def seconds(self) -> Mapping[CellKey, TrialSeconds]:
        """Mean seconds per trial, for every cell that is planned or has finished trials."""
        cells = {**self.declared.cells, **self.coverage}
        return {at: _seconds(self.declared, self.coverage, at=at) for at in cells}

    def remaining(self, at: CellKey, *, trials: int, fits: int) -> RemainingWork:
        """Return the remaining work of a cell.

        Args:
            fits: how many of them may cost a fit. Some neural datasets of a grid may already exist from another phase
                or study; their share is estimated from those that the grid's ended trials have read. For other
                samplers, the number already accounts for this.
        """
        seconds, coverage = self.seconds.get(at, TrialSeconds()), self.coverage.get(at, NO_COVERAGE)
        is_grid = self.declared.of(*at).is_grid
        share = min(1.0, (coverage.measured + 1) / (coverage.datasets + 1)) if is_grid else 1.0
        if not trials:
            return RemainingWork()
        if seconds.rest is None or (fits and seconds.fit is None):
            return RemainingWork(trials, None)
        is_scaled = not coverage.ended or (fits > 0 and not coverage.measured)
        return RemainingWork(trials, trials * seconds.rest + share * fits * (seconds.fit or 0.0), is_scaled)


def _seconds(declared: Declarations, coverage: CoverageByCell, *, at: CellKey) -> TrialSeconds:
    own, target = coverage.get(at, NO_COVERAGE), declared.cells.get(at)
    rest = _rest(own) / own.ended if own.ended and own.seconds else None
    fit = own.part_seconds / own.measured if own.measured else None
    if target is not None and None in (rest, fit):
        for sources in _sources(declared, coverage, target=target):
            rest = _scaled_rest(sources, target) if rest is None else rest
            fit = _scaled_fit(sources, target) if fit is None else fit
    return TrialSeconds(rest, fit)


Sources = Sequence[tuple[Declared, Coverage]]
"""Cells whose times are scaled to estimate the times of another cell."""


def _sources(declared: Declarations, coverage: CoverageByCell, *, target: Declared) -> tuple[Sources, Sources]:
    """Return two lists of cells whose times can be scaled: cells with the target's label, and all similar cells.

    Similar cells have the same task and signals.
    """
    similar = [
        (other, coverage[at])
        for at, other in declared.cells.items()
        if (other.task, other.signals) == (target.task, target.signals)
        and other.count
        and coverage.get(at, NO_COVERAGE).ended
    ]
    return [pair for pair in similar if pair[0].cell == target.cell], similar


def _rest(coverage: Coverage) -> float:
    return max(0.0, coverage.seconds - coverage.part_seconds)


def _scaled_rest(sources: Sources, target: Declared) -> float | None:
    """Return a trial's duration in seconds, excluding its fit, scaled by the number of signals."""
    signals = sum(coverage.ended * (other.count or 0) for other, coverage in sources)
    if not signals or not target.count:
        return None
    return target.count * sum(_rest(coverage) for _, coverage in sources) / signals


def _scaled_fit(sources: Sources, target: Declared) -> float | None:
    """Return a fit's duration in seconds, scaled by its field-steps.

    The fit has the largest step count of a grid, or the mean one of another search.
    """
    if sources and not any(coverage.datasets for _, coverage in sources):
        return 0.0  # a task without neural datasets
    done = sum(coverage.amount for _, coverage in sources)
    if not done or not target.count or not target.steps:
        return None
    steps = max(target.steps) if target.is_grid else fmean(target.steps)
    return target.count * steps * sum(coverage.part_seconds for _, coverage in sources) / done
