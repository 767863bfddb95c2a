"""The price of one trial before it runs: disk space, hours of fitting, and minimum memory."""

import os
from collections.abc import Collection
from dataclasses import dataclass
from typing import final

from nefstudy.config import NeuralDatasetConfig
from nefstudy.errors import BadInput
from nefstudy.fields.catalog import build
from nefstudy.fields.field import parameter_count
from nefstudy.fitting.cost import RATES, step_flops
from nefstudy.fitting.engines.catalog import ENGINES
from nefstudy.fitting.lanes import MIN_LANES
from nefstudy.neural_dataset.schema import SHARD_SIGNALS
from nefstudy.study.estimate.cost import SignalSize, signal_size
from nefstudy.study.plan.study_plan import StudyPlan
from nefstudy.study.samplers.stream import Suggestion
from nefstudy.tasks.task import Need

COLUMN_BYTES = 30  # of a row in addition to parameters and quality: `COLUMNS` of `neural_dataset/schema.py`
METRIC_BYTES = 4  # of a quality metric, float32
SHARD_BYTES = 4096  # a shard's schema and its receipt, about
PARAMETER_BYTES = 16  # float32: a parameter, its gradient and Adam's two moments


def dataset_bytes(plan: StudyPlan, recipe: NeuralDatasetConfig, *, size: SignalSize, rungs: int) -> int:
    """Return the size of a neural dataset on disk in bytes, accurate to a few percent."""
    field = build(recipe.field, in_dim=size.in_dim, out_dim=size.out_dim, fields=plan.fields)
    rows = size.signals * recipe.views
    row = 4 * parameter_count(field) + COLUMN_BYTES + METRIC_BYTES * size.metrics
    return rungs * (rows * row + SHARD_BYTES * -(-size.signals // SHARD_SIGNALS) * recipe.views)


@dataclass(frozen=True)
class FitPrice:
    """A lower bound on the cost of a fit.

    Attributes:
        hours: matrix products alone, on one core or GPU of the machine that engines' rates were measured on.
        memory: bytes of parameters, gradients, moments and one layer's activations of the smallest chunk.
    """

    hours: float
    memory: int


@final
class Prices:
    """The prices of a plan's trials. Sizes of signals and neural datasets are computed once.

    A price is None where the signals are not on this machine: their size is then unknown.
    """

    def __init__(self, plan: StudyPlan) -> None:
        self._plan = plan
        self._bytes: dict[tuple[str, int], int] = {}
        self._signals: dict[str, SignalSize | None] = {}

    def bytes(self, suggestion: Suggestion, *, of: Collection[str]) -> int | None:
        """Return the total size in bytes of a trial's complete neural datasets, counting only the datasets in `of`."""
        longest = _longest(suggestion, of)
        sizes = [self._dataset(need, rungs=len(suggestion.ladders[need.digest])) for need in longest]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    def _dataset(self, need: Need, *, rungs: int) -> int | None:
        known, size = (need.digest, rungs), self._size(need)
        if size is None:
            return None
        if known not in self._bytes:
            self._bytes[known] = dataset_bytes(self._plan, need.recipe, size=size, rungs=rungs)
        return self._bytes[known]

    def fit(self, suggestion: Suggestion, *, of: Collection[str]) -> FitPrice | None:
        """Return a lower bound on the cost of a trial's fits, counting only the neural datasets in `of`.

        It is computed without allocating anything of their size.
        """
        prices = [self._fit(need) for need in _longest(suggestion, of)]
        known = [price for price in prices if price is not None]
        if len(known) < len(prices):
            return None
        return FitPrice(sum(price.hours for price in known), max((price.memory for price in known), default=0))

    def _fit(self, need: Need) -> FitPrice | None:
        size, recipe = self._size(need), need.recipe
        if size is None:
            return None
        field = build(recipe.field, in_dim=size.in_dim, out_dim=size.out_dim, fields=self._plan.fields)
        points = recipe.batch_points or size.points
        fast = ENGINES["fused"].unsupported_reason(field) is None and ENGINES["fused"].explicit_only_reason() is None
        rate = RATES["fused" if fast else "compiled"]
        steps = size.signals * recipe.views * need.rung
        width = max((parameter.shape[-1] for parameter in field.layout), default=1)
        memory = MIN_LANES * (PARAMETER_BYTES * parameter_count(field) + 4 * width * points)
        return FitPrice(hours=steps * step_flops(field, points) / rate.flops / 3600, memory=memory)

    def _size(self, need: Need) -> SignalSize | None:
        signals = need.recipe.signals
        text = signals.canonical_json()
        if text not in self._signals:
            try:
                self._signals[text] = signal_size(self._plan, signals)
            except BadInput:
                self._signals[text] = None
        return self._signals[text]


def _longest(suggestion: Suggestion, of: Collection[str]) -> list[Need]:
    """Return the `Need` with the most steps for each neural dataset in `of`."""
    longest = {need.digest: need for need in sorted(suggestion.needs, key=lambda need: need.rung)}
    return [need for digest, need in longest.items() if digest in of]


def machine_memory() -> int:
    """Return this machine's memory in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
