"""The interface of a neural field: a parameter layout and pure functions of (parameters, points).

Parameters have two forms: a dict of named tensors with a leading field axis F (for computing) and one flat
row per field (on disk, for classifiers). `layout` declares names, shapes and order.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nefstudy.errors import BadConfig
from nefstudy.fields.sincos import Sincos, torch_sincos
from nefstudy.fields.symmetry import Symmetry

Params = dict[str, Tensor]
Loss = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Called with outputs and targets, both [F, P, C] or [F, C, P]; returns each field's loss [F] and output gradient."""


@dataclass(frozen=True)
class Parameter:
    """One named parameter of a field; a kernel has the shape (fan_in, fan_out).

    Attributes:
        trained: whether a fit changes it; an untrained parameter keeps its initial value.
    """

    name: str
    shape: tuple[int, ...]
    trained: bool = True

    @property
    def size(self) -> int:
        """Number of scalars in the parameter."""
        return prod(self.shape)


@runtime_checkable
class NeuralField(Protocol):
    """A coordinate network [-1, 1]^in_dim -> R^out_dim; frozen, hashable and stateless."""

    @property
    def in_dim(self) -> int:
        """Number of coordinate dimensions D."""

    @property
    def out_dim(self) -> int:
        """Number of channels C."""

    @property
    def layout(self) -> tuple[Parameter, ...]:
        """Names and shapes of the parameters, in the order of the flat row."""

    @property
    def symmetry(self) -> Symmetry:
        """The field's graph, and the changes of its parameters that leave its function unchanged."""

    def init(self, rng: np.random.Generator) -> dict[str, Float[np.ndarray, "..."]]:
        """Return one set of initial parameters, float32, drawn in layout order."""

    def forward(self, params: Params, coords: Float[Tensor, "*F P D"]) -> Float[Tensor, "F P C"]:
        """Return the outputs of F fields at shared points [P, D] or at separate points for each field [F, P, D]."""


@runtime_checkable
class WrittenGradient(Protocol):
    """A field that computes its loss gradient explicitly instead of by autograd, as the fast engines require."""

    def loss_gradient(
        self,
        params: Params,
        coords: Float[Tensor, "*F Q D"],
        targets: Float[Tensor, "F P C"],
        *,
        loss: Loss,
        sincos: Sincos,
    ) -> tuple[Float[Tensor, " F"], Params]:
        """Return each field's loss and its gradient with respect to that field's parameters.

        Points beyond the number of targets are padding and are ignored (see padding.py).
        `sincos` computes sines and cosines in the way that suits the engine (see sincos.py).
        """

    @property
    def unit(self) -> tuple["WrittenGradient", dict[str, float]]:
        """The network with its continuous hyperparameters set to 1, and the parameter factors that compensate for this.

        `self` at parameters w equals the unit field at factor * w, so one compiled program covers every value.
        Parameters without an entry have factor 1.
        """


def loss_gradient(
    field: NeuralField,
    params: Params,
    coords: Float[Tensor, "*F Q D"],
    targets: Float[Tensor, "F P C"],
    *,
    loss: Loss,
    sincos: Sincos = torch_sincos,
) -> tuple[Float[Tensor, " F"], Params]:
    """Return each field's loss and gradient, computed explicitly if the field supports this, otherwise by autograd.

    Fields share no parameters, so the gradient of the sum over fields consists of each field's gradient. A mean over
    fields would make the bits of a field's gradient depend on the number of fields in the batch.
    """
    if isinstance(field, WrittenGradient):
        return field.loss_gradient(params, coords, targets, loss=loss, sincos=sincos)
    leaves = {name: value.detach().requires_grad_() for name, value in params.items()}
    with torch.enable_grad():
        outputs = field.forward(leaves, coords)
        expected = (targets.shape[0], coords.shape[-2], targets.shape[2])
        if outputs.shape != expected:
            raise BadConfig(
                f"{type(field).__name__}: forward returns shape {tuple(outputs.shape)}; return {expected}: fields, "
                "points, channels"
            )
        outputs = outputs[:, : targets.shape[1]]
        losses, cotangent = loss(outputs.detach(), targets)
        grads = torch.autograd.grad(outputs, list(leaves.values()), cotangent, allow_unused=True)
    return losses, {
        name: torch.zeros_like(leaf) if grad is None else grad
        for (name, leaf), grad in zip(leaves.items(), grads, strict=True)
    }


def parameter_count(field: NeuralField) -> int:
    """Return the length of a field's flat row."""
    return sum(parameter.size for parameter in field.layout)


def flatten(field: NeuralField, params: Params) -> Float[Tensor, "F N"]:
    """Return named parameters as flat rows in layout order."""
    return torch.cat([params[p.name].reshape(params[p.name].shape[0], p.size) for p in field.layout], dim=1)


def unflatten(field: NeuralField, rows: Float[Tensor, "F N"]) -> Params:
    """Return flat rows as named parameters, which are views of the rows."""
    pieces = torch.split(rows, [p.size for p in field.layout], dim=1)
    return {p.name: piece.reshape(-1, *p.shape) for p, piece in zip(field.layout, pieces, strict=True)}
