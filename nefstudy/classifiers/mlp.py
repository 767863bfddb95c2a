"""`mlp`: a perceptron on the flat row. It is not invariant to anything; the baseline of the study."""

from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nefstudy.classifiers.classifier import WeightReader
from nefstudy.classifiers.norm import BatchNorm
from nefstudy.fields.field import NeuralField
from nefstudy.fields.hyperparameter import check, hyperparameter
from nefstudy.scalars import Scalar

# Widths of 74k, 116k and 363k parameters on a 2-32-32-3 SIREN (Papa et al. 2024 suppl., figure 1).
MLP_SIZES: dict[str, dict[str, Scalar]] = {"74k": {"width": 56}, "116k": {"width": 86}, "363k": {"width": 241}}


@dataclass(frozen=True)
class Mlp:
    """Linear, batch norm, ReLU on all parameters of a field at once.

    Attributes:
        width: units of each hidden layer.
        depth: hidden layers.
        dropout: after each hidden layer, in training.
        entrywise: take each entry's own mean away, not its tensor's: what all fields share says nothing of any.
    """

    width: int = hyperparameter(128, low=1, high=65536)
    depth: int = hyperparameter(2, low=1, high=64)
    dropout: float = hyperparameter(0.0, low=0.0, high=0.99)
    entrywise: bool = False

    def __post_init__(self) -> None:
        check(self)

    def build(self, field: NeuralField, classes: int) -> "FlatReader":
        """A fresh reader of this field's rows."""
        return FlatReader(self, field, classes)


class FlatReader(WeightReader):
    """The network of `Mlp`; each parameter tensor is divided by one deviation from its mean, or from its entries'."""

    def __init__(self, choice: Mlp, field: NeuralField, classes: int) -> None:
        super().__init__()
        self.sizes = [parameter.size for parameter in field.layout]
        self.mean: Tensor
        self.scale: Tensor
        self.entrywise = choice.entrywise
        self.register_buffer("mean", torch.zeros(sum(self.sizes) if choice.entrywise else len(self.sizes)))
        self.register_buffer("scale", torch.ones(len(self.sizes)))
        widths = [sum(self.sizes), *[choice.width] * choice.depth]
        self.body = nn.Sequential(
            *(
                nn.Sequential(nn.Linear(a, b, bias=False), BatchNorm(b), nn.ReLU(), nn.Dropout(choice.dropout))
                for a, b in pairwise(widths)
            )
        )
        self.head = nn.Linear(widths[-1], classes)

    def calibrate(self, rows: Float[Tensor, "N P"]) -> None:
        """Measure the means, and one deviation of each parameter tensor."""
        exact = rows.double()
        if self.entrywise:
            self.mean.copy_(exact.mean(dim=0))
        else:
            self.mean.copy_(torch.stack([piece.mean() for piece in torch.split(exact, self.sizes, dim=1)]))
        for index, piece in enumerate(torch.split(exact - self._spread(self.mean).double(), self.sizes, dim=1)):
            deviation = piece.square().mean().sqrt()
            self.scale[index] = deviation if deviation > 1e-12 else 1.0

    def embed(self, rows: Float[Tensor, "B P"]) -> Float[Tensor, "B E"]:
        """The last hidden layer."""
        scaled = (rows - self._spread(self.mean)) / self._spread(self.scale)
        return self.body(scaled)  # type: ignore[no-any-return]  # nn.Module is untyped

    def _spread(self, values: Tensor) -> Float[Tensor, " P"]:
        """One value an entry, of one a tensor."""
        if len(values) == sum(self.sizes):
            return values
        return values.repeat_interleave(torch.tensor(self.sizes, device=values.device))

    def forward(self, rows: Float[Tensor, "B P"]) -> Float[Tensor, "B classes"]:
        """Class scores (logits) of each field."""
        return self.head(self.embed(rows))  # type: ignore[no-any-return]  # nn.Module is untyped
