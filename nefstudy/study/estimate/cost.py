"""Cost estimate of a plan: trials, fits, field-steps, and hours on a device.

A *fit* is one ladder: all step counts of one neural dataset, by the engine that it would get. Its seconds come from
the estimate that chooses engines (`fitting/cost.py`), scaled by a short measurement of this machine, with a
band for effects that neither covers. A program is compiled once per shape of a cell and loaded by each later fit.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from nefstudy.config import SignalsConfig, TrialConfig, parse
from nefstudy.errors import BadInput
from nefstudy.fields.catalog import build
from nefstudy.fields.field import NeuralField, WrittenGradient
from nefstudy.fitting.cost import RATES, FitWork, fit_seconds
from nefstudy.fitting.engines.catalog import ENGINES
from nefstudy.seeds import stream
from nefstudy.signals.catalog import SignalSource, load_signals
from nefstudy.signals.kinds import IMAGE, SHAPE
from nefstudy.study.plan.study_plan import CellPlan, StudyPlan, listed_trials
from nefstudy.study.space import drawn
from nefstudy.tasks.task import Need

SAMPLED_POINTS = 64  # points over which a searched space is averaged
LOW, HIGH = 0.6, 2.0  # band around the middle estimate: cache effects below, the classifier above


@dataclass(frozen=True)
class SignalSize:
    """The size of a data set: signals, points per step, dimensions and quality metrics."""

    signals: int
    points: int
    in_dim: int
    out_dim: int
    metrics: int = len(IMAGE.metrics)


PUBLISHED_SIZES = {
    "mnist": SignalSize(70_000, 784, 2, 1),
    "fashion-mnist": SignalSize(70_000, 784, 2, 1),
    "cifar10": SignalSize(60_000, 1024, 2, 3),
    "microimagenet": SignalSize(60_000, 4096, 2, 3),
    "shapenet10": SignalSize(34_800, 4096, 3, 1, metrics=len(SHAPE.metrics)),
}
"""Sizes of published data sets, which allow a plan's cost to be estimated when the data is not available."""


@dataclass(frozen=True)
class CellCost:
    """The cost of one cell in one phase: the cost of its fits, without its classifiers.

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
    """A device for which costs are estimated.

    Attributes:
        cores: CPU cores that fit in parallel, one fit each.
        slowness: seconds that it takes for one second of the machine on which the rates were measured.
    """

    name: str
    cores: int
    slowness: float

    def hours(self, seconds: Mapping[str, float]) -> dict[str, float]:
        """Return low, middle and high estimates of the hours on this device.

        `fused` counts hours of one GPU, at a derived rate.
        """
        own = sum(value for engine, value in seconds.items() if engine != "fused") * self.slowness / self.cores
        mid = (own + seconds.get("fused", 0.0)) / 3600
        return {"low": LOW * mid, "mid": mid, "high": HIGH * mid}


def signal_size(plan: StudyPlan, config: SignalsConfig) -> SignalSize:
    """Return the size of a cell's signals, measured if the data is available, otherwise from a table of known sets.

    Raises:
        BadSignals, BadConfig: neither is known.
    """
    try:
        if config.name not in plan.signals:
            load_signals(config, sources=plan.signals)  # raises an error that lists all names
        return _measured_size(plan.signals[config.name], config.canonical_json())
    except BadInput:
        if config.name not in PUBLISHED_SIZES:
            raise
        size = PUBLISHED_SIZES[config.name]
        return replace(size, signals=min(config.subset or size.signals, size.signals))


@lru_cache(maxsize=100)
def _measured_size(source: SignalSource, text: str) -> SignalSize:
    """Return the size of the signals of a configuration, given as JSON.

    Cached because the estimates of time and of disk space both need it, and generating a bundled set takes seconds.
    """
    config = parse(SignalsConfig, text, where="signals")
    signals = load_signals(config, sources={config.name: source})
    points, metrics = signals.kind.step_points or signals.size, len(signals.kind.metrics)
    return SignalSize(len(signals), points, signals.in_dim, signals.out_dim, metrics=metrics)


def plan_cost(plan: StudyPlan, *, engine: str = "auto") -> list[CellCost]:
    """Return the cost of every cell, in the plan's order, for the given engine or the engines that `auto` picks."""
    return [_cell_cost(plan, cell, signal_size(plan, cell.signals), engine=engine) for cell in plan.cells]


def _cell_cost(plan: StudyPlan, cell: CellPlan, size: SignalSize, *, engine: str) -> CellCost:
    listed, needs = listed_trials(plan, cell), plan.task(cell).needs
    if listed is not None:
        longest: dict[str, Need] = {}
        for need in (need for trial in listed for need in needs(trial)):
            if need.digest not in longest or longest[need.digest].rung < need.rung:
                longest[need.digest] = need
        estimated, fits = list(longest.values()), len(longest)
    else:
        estimated = [need for trial in sampled_trials(plan, cell) for need in needs(trial)]
        fits = round(cell.planned * len(estimated) / SAMPLED_POINTS)
    share = fits / max(1, len(estimated))
    seconds, engines, shapes = defaultdict[str, float](float), Counter[str](), set()
    for need in estimated:
        name, once, again, shape = _fit_cost(plan, cell, need, size, engine=engine)
        seconds[name] += again * share
        engines[name] += 1
        if (name, shape) not in shapes:
            shapes.add((name, shape))
            seconds[name] += once
    field_steps = round(share * sum(need.rung * need.recipe.views for need in estimated)) * size.signals
    counts = {name: round(count * share) for name, count in engines.items()}
    return CellCost(cell.cell, cell.phase, cell.planned, fits, field_steps, dict(seconds), counts)


def _fit_cost(
    plan: StudyPlan, cell: CellPlan, need: Need, size: SignalSize, *, engine: str
) -> tuple[str, float, float, NeuralField]:
    """Return a fit's engine, one-time setup time per shape (seconds), duration (seconds), and shape."""
    recipe = need.recipe
    field = build(recipe.field, in_dim=size.in_dim, out_dim=size.out_dim, fields=plan.fields)
    work = FitWork(size.signals * recipe.views, need.rung, recipe.batch_points or size.points)

    def seconds(name: str, **preparation: Any) -> float:
        return fit_seconds(field, work, engine=name, lanes=ENGINES[name].lanes(field, work.points), **preparation)

    shared = cell.fits_per_shape
    best = min(_candidates(field, engine=engine), key=lambda name: seconds(name, ready=False, fits=shared))
    shape = field.unit[0] if isinstance(field, WrittenGradient) else field
    assert isinstance(shape, NeuralField)
    return best, RATES[best].compile_s - RATES[best].load_s, seconds(best, ready=True), shape


def _candidates(field: NeuralField, *, engine: str) -> list[str]:
    """Return the engines that may run a fit: engines available on this machine, and `fused` only if requested."""
    if engine == "fused":
        return [engine]
    if engine != "auto":
        return [engine if ENGINES[engine].unsupported_reason(field) is None else "eager"]
    return [
        name
        for name, one in ENGINES.items()
        if one.unsupported_reason(field) is None and one.explicit_only_reason() is None
    ]


def sampled_trials(plan: StudyPlan, cell: CellPlan) -> Iterable[TrialConfig]:
    """Yield trials sampled from a cell's space, so that costs can be averaged over the space."""
    rng, sampled = stream(plan.seed, "cost", cell.phase, cell.cell), plan.sampled(cell)
    for _ in range(SAMPLED_POINTS):
        yield sampled.trial({name: drawn(dimension, rng.random()) for name, dimension in cell.space.items()})


def cost_summary(costs: list[CellCost], device: Device, *, engine: str = "auto") -> dict[str, Any]:
    """Return the costs in the form that `nefstudy plan --json` prints; `engine` is the requested engine."""
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
