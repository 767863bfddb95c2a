"""`mlp`: a multilayer perceptron on the flat row, without any invariance; the study's baseline."""

from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nefstudy.classifiers.classifier import WeightClassifier, split_mean
from nefstudy.classifiers.networks.norm import BatchNorm
from nefstudy.fields.field import NeuralField
from nefstudy.fields.hyperparameter import check, hyperparameter
from nefstudy.scalars import Scalar

# Widths of 74k, 116k and 363k parameters on a 2-32-32-3 SIREN (Papa et al. 2024 suppl., figure 1).
MLP_SIZES: dict[str, dict[str, Scalar]] = {"74k": {"width": 56}, "116k": {"width": 86}, "363k": {"width": 241}}


@dataclass(frozen=True)
class Mlp:
    """A multilayer perceptron with batch norm and ReLU, applied to all parameters of a field at once.

    Attributes:
        width: units of each hidden layer.
        depth: number of hidden layers.
        dropout: dropout rate after each hidden layer in training.
    """

    width: int = hyperparameter(128, low=1, high=65536)
    depth: int = hyperparameter(2, low=1, high=64)
    dropout: float = hyperparameter(0.0, low=0.0, high=0.99)

    def __post_init__(self) -> None:
        check(self)

    def build(self, field: NeuralField, classes: int, *, centered: bool = False) -> "MlpNetwork":
        """Return an untrained network for rows of this field."""
        return MlpNetwork(self, field, classes, centered=centered)


class MlpNetwork(WeightClassifier):
    """The network of `Mlp`; parameter tensors are scaled to unit deviation from the mean that is subtracted.

    That mean is one number per tensor. In a centered network it is each entry's, and there is no plain reading: an
    offset that all fields share carries no information about any of them.
    """

    def __init__(self, spec: Mlp, field: NeuralField, classes: int, *, centered: bool) -> None:
        super().__init__()
        self.sizes = [parameter.size for parameter in field.layout]
        self.mean: Tensor
        self.scale: Tensor
        self.centered = centered
        self.register_buffer("mean", torch.zeros(sum(self.sizes) if centered else len(self.sizes)))
        self.register_buffer("scale", torch.ones(len(self.sizes)))
        widths = [sum(self.sizes), *[spec.width] * spec.depth]
        self.body = nn.Sequential(
            *(
                nn.Sequential(nn.Linear(a, b, bias=False), BatchNorm(b), nn.ReLU(), nn.Dropout(spec.dropout))
                for a, b in pairwise(widths)
            )
        )
        self.head = nn.Linear(widths[-1], classes)

    def calibrate(self, rows: Float[Tensor, "N P"]) -> None:
        """Measure the mean of each entry or tensor, and the deviation of each tensor from it."""
        exact = rows.double()
        if self.centered:
            self.mean.copy_(exact.mean(dim=0))
        else:
            self.mean.copy_(torch.stack([piece.mean() for piece in torch.split(exact, self.sizes, dim=1)]))
        for index, piece in enumerate(torch.split(exact - self._expanded(self.mean).double(), self.sizes, dim=1)):
            deviation = piece.square().mean().sqrt()
            self.scale[index] = deviation if deviation > 1e-12 else 1.0

    def framed(self, rows: Float[Tensor, "B P"]) -> Float[Tensor, "B Q"]:
        """Return the rows with the training mean next to each, if the network is centered."""
        return torch.cat([rows, self.mean.expand_as(rows)], dim=1) if self.centered else rows

    def embed(self, rows: Float[Tensor, "B Q"]) -> Float[Tensor, "B E"]:
        """Return the activations of the last hidden layer."""
        rows, mean = split_mean(rows, sum(self.sizes), default=self._expanded(self.mean))
        scaled = (rows - mean) / self._expanded(self.scale)
        return self.body(scaled)  # type: ignore[no-any-return]  # nn.Module is untyped

    def _expanded(self, values: Tensor) -> Float[Tensor, " P"]:
        """Expand values, given per entry or per parameter tensor, to one value per entry."""
        if len(values) == sum(self.sizes):
            return values
        return values.repeat_interleave(torch.tensor(self.sizes, device=values.device))

    def forward(self, rows: Float[Tensor, "B Q"]) -> Float[Tensor, "B classes"]:
        """Return class scores (logits) for each field."""
        return self.head(self.embed(rows))  # type: ignore[no-any-return]  # nn.Module is untyped
