"""The fits that `bench fit` measures: one chunk of fields, fitted by an engine or by plain torch."""

from math import prod
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nefstudy.config import OptimizerConfig
from nefstudy.fields.field import NeuralField, flatten, unflatten
from nefstudy.fitting.engines.catalog import ENGINES
from nefstudy.fitting.problem import Problem, WholeGrid
from nefstudy.fitting.step import initial_state
from nefstudy.inits.drawn import RandomInit
from nefstudy.signals.signal import grid_coords

PLAIN = "plain"


class FitVariant(Protocol):
    """A fit of one chunk that advances step by step."""

    def take(self, steps: int) -> None:
        """Advance the fit by `steps` steps."""

    def rows(self) -> Float[Tensor, "F N"]:
        """Return the current parameters of the fields."""


class EngineRun:
    """A fit of one chunk by an engine."""

    def __init__(
        self, field: NeuralField, targets: Float[np.ndarray, "F H W C"], *, engine: str, optimizer: OptimizerConfig
    ) -> None:
        self._advance = ENGINES[engine].advance
        self._problem = Problem(field, "mse", optimizer.name)
        self._optimizer = optimizer
        self._data = _grid(targets)
        self._state = initial_state(_start(field, len(targets)))

    def take(self, steps: int) -> None:
        """Advance the fit by `steps` steps."""
        self._state = self._advance(self._problem, self._optimizer, self._state, self._data, steps)

    def rows(self) -> Float[Tensor, "F N"]:
        """Return the current parameters of the fields."""
        return self._state.rows


class PlainRun:
    """A straightforward torch fit: batched forward pass, autograd and torch's fused Adam."""

    def __init__(
        self, field: NeuralField, targets: Float[np.ndarray, "F H W C"], *, optimizer: OptimizerConfig
    ) -> None:
        self._field = field
        self._data = _grid(targets)
        rows = _start(field, len(targets))
        self._params = {name: value.clone().requires_grad_() for name, value in unflatten(field, rows).items()}
        self._adam = torch.optim.Adam(list(self._params.values()), lr=optimizer.lr, fused=True)

    def take(self, steps: int) -> None:
        """Advance the fit by `steps` steps."""
        for _ in range(steps):
            outputs = self._field.forward(self._params, self._data.coords)
            self._adam.zero_grad()
            torch.autograd.backward((outputs - self._data.targets).square().mean(dim=(1, 2)).sum())
            self._adam.step()

    def rows(self) -> Float[Tensor, "F N"]:
        """Return the current parameters of the fields."""
        return flatten(self._field, {name: value.detach() for name, value in self._params.items()})


def new_run(
    field: NeuralField, targets: Float[np.ndarray, "F H W C"], *, engine: str, optimizer: OptimizerConfig
) -> FitVariant:
    """Return a run at step 0 that uses an engine or, for `plain`, torch alone."""
    if engine == PLAIN:
        return PlainRun(field, targets, optimizer=optimizer)
    return EngineRun(field, targets, engine=engine, optimizer=optimizer)


def _start(field: NeuralField, count: int) -> Float[Tensor, "F N"]:
    return RandomInit().rows(field, seed=0, ids=range(count), view=0)


def _grid(targets: Float[np.ndarray, "F H W C"]) -> WholeGrid:
    count, *grid, channels = targets.shape
    flat = torch.from_numpy(targets.reshape(count, prod(grid), channels))
    return WholeGrid(torch.from_numpy(grid_coords(tuple(grid))), flat)
