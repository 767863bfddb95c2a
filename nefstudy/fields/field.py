"""What every neural field is: a declared parameter layout and pure functions of (parameters, points).

Parameters travel in two forms: a dict of named tensors with a leading field axis F (for computing) and
one flat row per field (on disk, for classifiers). `layout` declares names, shapes and order once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nefstudy.fields.symmetry import Symmetry
from nefstudy.fields.wave import Waves, separate

Params = dict[str, Tensor]
Loss = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(outputs, targets), both [F, P, C] or [F, C, P] -> loss of each field [F], its gradient by the outputs."""


@dataclass(frozen=True)
class Parameter:
    """One named parameter of one field; kernels are (fan_in, fan_out).

    Attributes:
        trained: whether a fit moves it; an untrained one keeps its initial value.
    """

    name: str
    shape: tuple[int, ...]
    trained: bool = True

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return prod(self.shape)


@runtime_checkable
class NeuralField(Protocol):
    """A coordinate network x in [-1, 1]^in_dim -> R^out_dim; frozen, hashable, without state."""

    @property
    def in_dim(self) -> int:
        """Coordinate dimensions D."""

    @property
    def out_dim(self) -> int:
        """Channels C."""

    @property
    def layout(self) -> tuple[Parameter, ...]:
        """Names and shapes of the parameters, in the order of the flat row."""

    @property
    def symmetry(self) -> Symmetry:
        """The field's graph and the actions on its parameters that leave its function unchanged."""

    def init(self, rng: np.random.Generator) -> dict[str, Float[np.ndarray, "..."]]:
        """One set of initial parameters, float32, drawn in layout order."""

    def forward(self, params: Params, points: Float[Tensor, "*F P D"]) -> Float[Tensor, "F P C"]:
        """Outputs of F fields at points shared by all ([P, D]) or given per field ([F, P, D])."""


@runtime_checkable
class WrittenGradient(Protocol):
    """A field whose loss and gradient are written out, without autograd: what the fast engines run."""

    def loss_gradient(
        self,
        params: Params,
        points: Float[Tensor, "*F Q D"],
        targets: Float[Tensor, "F P C"],
        *,
        loss: Loss,
        waves: Waves,
    ) -> tuple[Float[Tensor, " F"], Params]:
        """Loss of each field, and its gradient by each of that field's parameters.

        Points beyond the targets' are padding and count for nothing (see padding.py).
        `waves` gives sines and cosines in the way that suits the engine (see wave.py).
        """

    @property
    def unit(self) -> tuple["WrittenGradient", dict[str, float]]:
        """The same network without its continuous hyperparameters, and factors of parameters that make up for them.

        `self` at parameters w is the unit field at factor * w, so one compiled program serves every value.
        Parameters without a factor have factor 1.
        """


def loss_gradient(
    field: NeuralField,
    params: Params,
    points: Float[Tensor, "*F Q D"],
    targets: Float[Tensor, "F P C"],
    *,
    loss: Loss,
    waves: Waves = separate,
) -> tuple[Float[Tensor, " F"], Params]:
    """Loss of each field and its gradient: the field's own where written, else by autograd.

    Fields share no parameter, so the gradient of the sum over fields is each field's own; a mean over
    fields would make a field's bits depend on how many are computed together.
    """
    if isinstance(field, WrittenGradient):
        return field.loss_gradient(params, points, targets, loss=loss, waves=waves)
    leaves = {name: value.detach().requires_grad_() for name, value in params.items()}
    with torch.enable_grad():
        outputs = field.forward(leaves, points)[:, : targets.shape[1]]
        losses, cotangent = loss(outputs.detach(), targets)
        grads = torch.autograd.grad(outputs, list(leaves.values()), cotangent, allow_unused=True)
    return losses, {
        name: torch.zeros_like(leaf) if grad is None else grad
        for (name, leaf), grad in zip(leaves.items(), grads, strict=True)
    }


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
