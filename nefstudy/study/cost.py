"""What a plan will cost before it runs: trials, fits, field-steps, and hours on a device.

A *fit* is one ladder: all step counts of one neural dataset, by the engine that it would get. Its seconds are those
that engines are chosen by (`fitting/cost.py`), scaled by a short measurement of this machine, with a band for what
neither sees. A program is compiled once for each shape of a cell, and loaded again by each later fit.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from nefstudy.config import SignalsConfig, TrialConfig
from nefstudy.errors import BadInput
from nefstudy.fields.catalog import build
from nefstudy.fields.field import NeuralField, WrittenGradient
from nefstudy.fitting.cost import RATES, Work, fit_seconds
from nefstudy.fitting.engines import ENGINES
from nefstudy.seeds import stream
from nefstudy.signals.catalog import load_signals
from nefstudy.study.plan import CellPlan, StudyPlan, listed_trials
from nefstudy.study.space import drawn
from nefstudy.tasks.task import Need

SAMPLED_POINTS = 64  # points a searched space is averaged over
LOW, HIGH = 0.6, 2.0  # the band about the middle estimate: cache effects below, the classifier above


@dataclass(frozen=True)
class SignalSize:
    """How much there is to fit and to keep: signals, points a step, dimensions and quality metrics of a field."""

    signals: int
    points: int
    in_dim: int
    out_dim: int
    metrics: int = 4


PAPER_SIZES = {
    "mnist": SignalSize(70_000, 784, 2, 1),
    "cifar10": SignalSize(60_000, 1024, 2, 3),
    "microimagenet": SignalSize(60_000, 4096, 2, 3),
    "shapenet10": SignalSize(34_800, 4096, 3, 1, metrics=1),
}
"""The reference study's data sets, so that its plan can be priced without having them."""


@dataclass(frozen=True)
class CellCost:
    """The cost of one cell in one phase: of its fits, not of its classifiers.

    Attributes:
        seconds: by engine, on the machine that engines' rates were measured on: of one core, or of one GPU.
        engines: how many of the fits each engine gets.
    """

    cell: str
    phase: str
    trials: int
    fits: int
    field_steps: int
    seconds: Mapping[str, float]
    engines: Mapping[str, int]


@dataclass(frozen=True)
class Device:
    """A device as a cost estimate sees it.

    Attributes:
        cores: CPU cores that fit side by side, one fit each.
        slowness: seconds that it takes for one of the machine the rates were measured on.
    """

    name: str
    cores: int
    slowness: float

    def hours(self, seconds: Mapping[str, float]) -> dict[str, float]:
        """Hours of this device, as a band; of one GPU by the `fused` engine, whose rate is derived."""
        own = sum(value for engine, value in seconds.items() if engine != "fused") * self.slowness / self.cores
        mid = (own + seconds.get("fused", 0.0)) / 3600
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
        return replace(size, signals=min(config.subset or size.signals, size.signals))
    points, metrics = signals.kind.step_points or signals.size, len(signals.kind.metrics)
    return SignalSize(len(signals), points, signals.in_dim, signals.out_dim, metrics=metrics)


def plan_cost(plan: StudyPlan, *, engine: str = "auto") -> list[CellCost]:
    """The cost of every cell, in the plan's order, by the engine asked for or those that `auto` picks."""
    return [_cell_cost(plan, cell, signal_size(plan, cell.signals), engine=engine) for cell in plan.cells]


def _cell_cost(plan: StudyPlan, cell: CellPlan, size: SignalSize, *, engine: str) -> CellCost:
    listed, needs = listed_trials(plan, cell), plan.task(cell).needs
    if listed is not None:
        longest: dict[str, Need] = {}
        for need in (need for trial in listed for need in needs(trial)):
            if need.digest not in longest or longest[need.digest].rung < need.rung:
                longest[need.digest] = need
        priced, fits = list(longest.values()), len(longest)
    else:
        priced = [need for trial in sampled_trials(plan, cell) for need in needs(trial)]
        fits = round(cell.planned * len(priced) / SAMPLED_POINTS)
    share = fits / max(1, len(priced))
    seconds, engines, shapes = defaultdict[str, float](float), Counter[str](), set()
    for need in priced:
        name, once, again, shape = _fit_cost(plan, cell, need, size, engine=engine)
        seconds[name] += again * share
        engines[name] += 1
        if (name, shape) not in shapes:
            shapes.add((name, shape))
            seconds[name] += once
    field_steps = round(share * sum(need.rung * need.recipe.views for need in priced)) * size.signals
    counts = {name: round(count * share) for name, count in engines.items()}
    return CellCost(cell.cell, cell.phase, cell.planned, fits, field_steps, dict(seconds), counts)


def _fit_cost(
    plan: StudyPlan, cell: CellPlan, need: Need, size: SignalSize, *, engine: str
) -> tuple[str, float, float, NeuralField]:
    """The engine that a fit gets, what its shape costs once, what the fit costs each time, and the shape."""
    recipe = need.recipe
    field = build(recipe.field, in_dim=size.in_dim, out_dim=size.out_dim, fields=plan.fields)
    work = Work(size.signals * recipe.views, need.rung, recipe.batch_points or size.points)

    def seconds(name: str, **preparation: Any) -> float:
        return fit_seconds(field, work, engine=name, lanes=ENGINES[name].lanes(field, work.points), **preparation)

    shared = cell.fits_a_shape
    best = min(_candidates(field, engine=engine), key=lambda name: seconds(name, ready=False, fits=shared))
    shape = field.unit[0] if isinstance(field, WrittenGradient) else field
    assert isinstance(shape, NeuralField)
    return best, RATES[best].ready - RATES[best].ready_again, seconds(best, ready=True), shape


def _candidates(field: NeuralField, *, engine: str) -> list[str]:
    """Engines that may get a fit: those of this machine, and `fused` where it is asked for by name."""
    if engine == "fused":
        return [engine]
    if engine != "auto":
        return [engine if ENGINES[engine].why_not(field) is None else "eager"]
    return [name for name, one in ENGINES.items() if one.why_not(field) is None and one.asked_only() is None]


def sampled_trials(plan: StudyPlan, cell: CellPlan) -> Iterable[TrialConfig]:
    """Yield trials drawn from a cell's space, for averages over it."""
    rng, sampled = stream(plan.seed, "cost", cell.phase, cell.cell), plan.sampled(cell)
    for _ in range(SAMPLED_POINTS):
        yield sampled.trial({name: drawn(dimension, rng.random()) for name, dimension in cell.space.items()})


def cost_summary(costs: list[CellCost], device: Device, *, engine: str = "auto") -> dict[str, Any]:
    """The costs as `nefstudy plan --json` prints them; `engine` is the one that was asked for."""
    cells = [
        {
            "cell": cost.cell,
            "phase": cost.phase,
            "trials": cost.trials,
            "fits": cost.fits,
            "field_steps": cost.field_steps,
            "engines": dict(cost.engines),
            "device_hours": device.hours(cost.seconds),
        }
        for cost in costs
    ]
    total = {name: sum(getattr(cost, name) for cost in costs) for name in ("trials", "fits", "field_steps")}
    names = {name: None for cost in costs for name in cost.engines}
    seconds = {name: sum(cost.seconds.get(name, 0.0) for cost in costs) for name in names}
    engines = {name: sum(cost.engines.get(name, 0) for cost in costs) for name in names}
    return {
        "device": device.name,
        "engine": engine,
        "cells": cells,
        "total": {**total, "engines": engines, "device_hours": device.hours(seconds)},
    }
