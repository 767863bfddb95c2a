"""The fits that `bench fit` measures: one chunk of fields under an engine, or under plain torch."""

from math import prod
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nefstudy.config import OptimizerConfig
from nefstudy.fields.field import NeuralField, flatten, unflatten
from nefstudy.fitting.engines import ENGINES
from nefstudy.fitting.problem import Problem, WholeGrid
from nefstudy.fitting.step import first_state
from nefstudy.inits.drawn import Random
from nefstudy.signals.signal import grid_coordinates

PLAIN = "plain"


class Run(Protocol):
    """A fit of one chunk that can be taken on step by step."""

    def take(self, steps: int) -> None:
        """So many steps more."""

    def rows(self) -> Float[Tensor, "F N"]:
        """The parameters reached."""


class EngineRun:
    """A chunk under one of the engines."""

    def __init__(
        self, field: NeuralField, targets: Float[np.ndarray, "F H W C"], *, engine: str, optimizer: OptimizerConfig
    ) -> None:
        self._advance = ENGINES[engine].advance
        self._problem = Problem(field, "mse", optimizer.name)
        self._optimizer = optimizer
        self._data = _grid(targets)
        self._state = first_state(_start(field, len(targets)))

    def take(self, steps: int) -> None:
        """So many steps more."""
        self._state = self._advance(self._problem, self._optimizer, self._state, self._data, steps)

    def rows(self) -> Float[Tensor, "F N"]:
        """The parameters reached."""
        return self._state.rows


class PlainRun:
    """A chunk as one would first write it in torch: batched forward pass, autograd, torch's fused Adam."""

    def __init__(
        self, field: NeuralField, targets: Float[np.ndarray, "F H W C"], *, optimizer: OptimizerConfig
    ) -> None:
        self._field = field
        self._data = _grid(targets)
        rows = _start(field, len(targets))
        self._params = {name: value.clone().requires_grad_() for name, value in unflatten(field, rows).items()}
        self._adam = torch.optim.Adam(list(self._params.values()), lr=optimizer.lr, fused=True)

    def take(self, steps: int) -> None:
        """So many steps more."""
        for _ in range(steps):
            outputs = self._field.forward(self._params, self._data.points)
            self._adam.zero_grad()
            torch.autograd.backward((outputs - self._data.targets).square().mean(dim=(1, 2)).sum())
            self._adam.step()

    def rows(self) -> Float[Tensor, "F N"]:
        """The parameters reached."""
        return flatten(self._field, {name: value.detach() for name, value in self._params.items()})


def new_run(
    field: NeuralField, targets: Float[np.ndarray, "F H W C"], *, engine: str, optimizer: OptimizerConfig
) -> Run:
    """A run from the start, under an engine or `plain`."""
    if engine == PLAIN:
        return PlainRun(field, targets, optimizer=optimizer)
    return EngineRun(field, targets, engine=engine, optimizer=optimizer)


def _start(field: NeuralField, count: int) -> Float[Tensor, "F N"]:
    return Random().rows(field, seed=0, ids=range(count), view=0)


def _grid(targets: Float[np.ndarray, "F H W C"]) -> WholeGrid:
    count, *grid, channels = targets.shape
    flat = torch.from_numpy(targets.reshape(count, prod(grid), channels))
    return WholeGrid(torch.from_numpy(grid_coordinates(tuple(grid))), flat)
