"""What every neural field is: a declared parameter layout and pure functions of (parameters, points).

Parameters travel in two forms: a dict of named tensors with a leading field axis F (for computing) and
one flat row per field (on disk, for classifiers). `layout` declares names, shapes and order once.
"""

from dataclasses import dataclass
from math import prod
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nefstudy.fields.symmetry import Symmetry

Params = dict[str, Tensor]


@dataclass(frozen=True)
class Parameter:
    """One named parameter of one field; kernels are (fan_in, fan_out)."""

    name: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return prod(self.shape)


class NeuralField(Protocol):
    """A coordinate network x in [-1, 1]^in_dim -> R^out_dim; frozen, hashable, without state."""

    in_dim: int
    out_dim: int

    @property
    def layout(self) -> tuple[Parameter, ...]:
        """Names and shapes of the parameters, in the order of the flat row."""

    @property
    def symmetry(self) -> Symmetry:
        """The field's graph and the actions on its parameters that leave its function unchanged."""

    def start(self, rng: np.random.Generator) -> dict[str, Float[np.ndarray, "..."]]:
        """One set of initial parameters, float32, drawn in layout order."""

    def forward(self, params: Params, points: Float[Tensor, "*F P D"]) -> Float[Tensor, "F P C"]:
        """Outputs of F fields at points shared by all ([P, D]) or given per field ([F, P, D])."""


def parameter_count(field: NeuralField) -> int:
    """Length of one field's flat row."""
    return sum(parameter.size for parameter in field.layout)


def flatten(field: NeuralField, params: Params) -> Float[Tensor, "F N"]:
    """Flat rows in layout order from named parameters."""
    return torch.cat([params[p.name].reshape(params[p.name].shape[0], p.size) for p in field.layout], dim=1)


def unflatten(field: NeuralField, rows: Float[Tensor, "F N"]) -> Params:
    """Named parameters from flat rows, as views."""
    pieces = torch.split(rows, [p.size for p in field.layout], dim=1)
    return {p.name: piece.reshape(-1, *p.shape) for p, piece in zip(field.layout, pieces, strict=True)}
