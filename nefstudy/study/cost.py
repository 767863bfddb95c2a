"""What a plan will cost before it runs: trials, fits, field-steps, and hours on a device.

A *fit* is one ladder: all step counts of one neural dataset. Arithmetic is counted as three times the
forward matrix products (forward, gradient by input, gradient by weight); hours come from a short
measurement of this machine, with a band for what the measurement does not see.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from nefstudy.config import SignalsConfig, TrialConfig
from nefstudy.errors import BadInput
from nefstudy.fields.catalog import build
from nefstudy.seeds import stream
from nefstudy.signals.catalog import load_signals
from nefstudy.study.plan import CellPlan, StudyPlan, grid_trials, trial_config
from nefstudy.study.space import Choice, Dimension, Point, Real

SAMPLED_POINTS = 64  # points a searched space is averaged over
LOW, HIGH = 0.6, 2.0  # the band about the middle estimate: cache effects below, the classifier above


@dataclass(frozen=True)
class SignalSize:
    """How much there is to fit: signals, points a step, and dimensions."""

    signals: int
    points: int
    in_dim: int
    out_dim: int


PAPER_SIZES = {
    "mnist": SignalSize(70_000, 784, 2, 1),
    "cifar10": SignalSize(60_000, 1024, 2, 3),
    "microimagenet": SignalSize(60_000, 4096, 2, 3),
    "shapenet10": SignalSize(34_800, 4096, 3, 1),
}
"""The reference study's data sets, so that its plan can be priced without having them."""


@dataclass(frozen=True)
class CellCost:
    """The cost of one cell in one phase; `flops` covers the fits, not the classifiers."""

    cell: str
    phase: str
    trials: int
    fits: int
    field_steps: int
    flops: float


@dataclass(frozen=True)
class Device:
    """A device as a cost estimate sees it: a name and the arithmetic rate it reaches in fits."""

    name: str
    flops_per_s: float

    def hours(self, flops: float) -> dict[str, float]:
        """Hours of this device, as a band."""
        mid = flops / self.flops_per_s / 3600
        return {"low": LOW * mid, "mid": mid, "high": HIGH * mid}


def signal_size(plan: StudyPlan, config: SignalsConfig) -> SignalSize:
    """Size of a cell's signals: of the data itself, or of the published set where it is not here.

    Raises:
        BadSignals, BadConfig: neither is known.
    """
    try:
        signals = load_signals(config, sources=plan.signals)
    except BadInput:
        if config.name not in PAPER_SIZES:
            raise
        size = PAPER_SIZES[config.name]
        return SignalSize(min(config.subset or size.signals, size.signals), size.points, size.in_dim, size.out_dim)
    return SignalSize(len(signals), signals.step_points or signals.size, signals.in_dim, signals.out_dim)


def plan_cost(plan: StudyPlan) -> list[CellCost]:
    """The cost of every cell, in the plan's order."""
    return [_cell_cost(plan, cell, signal_size(plan, cell.signals)) for cell in plan.cells]


def _cell_cost(plan: StudyPlan, cell: CellPlan, size: SignalSize) -> CellCost:
    if cell.trials is None:
        longest: dict[str, TrialConfig] = {}
        for trial in grid_trials(plan, cell):  # longest first, so the first of a ladder is its cost
            longest.setdefault(trial.dataset.digest, trial)
        fits = len(longest)
        steps = sum(_steps(trial) for trial in longest.values())
        flops = sum(_steps(trial) * step_flops(plan, trial, size) for trial in longest.values())
    else:
        sample = list(sampled_trials(plan, cell))
        fits = cell.trials
        steps = round(fits * sum(_steps(trial) for trial in sample) / len(sample))
        flops = fits * sum(_steps(trial) * step_flops(plan, trial, size) for trial in sample) / len(sample)
    return CellCost(cell.cell, cell.phase, cell.planned, fits, steps * size.signals, flops * size.signals)


def _steps(trial: TrialConfig) -> int:
    """Steps of one signal's fits, all its views together."""
    return trial.steps * trial.dataset.views


def step_flops(plan: StudyPlan, trial: TrialConfig, size: SignalSize) -> float:
    """Floating-point operations of one step of one field: 3 passes x 2 x points x kernel entries."""
    field = build(trial.dataset.field, in_dim=size.in_dim, out_dim=size.out_dim, fields=plan.fields)
    kernels = sum(parameter.size for parameter in field.layout if len(parameter.shape) > 1)
    return 6.0 * (trial.dataset.points or size.points) * kernels


def sampled_trials(plan: StudyPlan, cell: CellPlan) -> Iterable[TrialConfig]:
    """Trials drawn from a searched space, for averages over it."""
    rng = stream(plan.seed, "cost", cell.phase, cell.cell)
    for _ in range(SAMPLED_POINTS):
        drawn: Point = {name: _drawn(dimension, rng.random()) for name, dimension in cell.space.items()}
        yield trial_config(plan, cell, {**cell.fixed, **drawn})


def _drawn(dimension: Dimension, u: float) -> Any:
    """The value at quantile u of a dimension."""
    if isinstance(dimension, Choice):
        return dimension.values[min(int(u * len(dimension.values)), len(dimension.values) - 1)]
    value = dimension.low * (dimension.high / dimension.low) ** u if dimension.log else None
    value = dimension.low + u * (dimension.high - dimension.low) if value is None else value
    if isinstance(dimension, Real):
        return float(value)
    return int(value) // dimension.multiple * dimension.multiple


def cost_summary(costs: list[CellCost], device: Device) -> dict[str, Any]:
    """The costs as `nefstudy plan --json` prints them."""
    cells = [
        {
            "cell": cost.cell,
            "phase": cost.phase,
            "trials": cost.trials,
            "fits": cost.fits,
            "field_steps": cost.field_steps,
            "device_hours": device.hours(cost.flops),
        }
        for cost in costs
    ]
    total = {name: sum(getattr(cost, name) for cost in costs) for name in ("trials", "fits", "field_steps")}
    hours = device.hours(sum(cost.flops for cost in costs))
    return {"device": device.name, "cells": cells, "total": {**total, "device_hours": hours}}
