"""What every classifier of weights is: frozen hyperparameters that build a reader of flat rows."""

from abc import ABC, abstractmethod
from typing import Protocol

from jaxtyping import Float
from torch import Tensor, nn

from nefstudy.fields.field import NeuralField


class WeightReader(nn.Module, ABC):
    """A network from flat parameter rows to class scores.

    `calibrate` is called once, before training, with rows of the training split only; what it measures
    (scalars per layer, never per entry) is kept in buffers, so it is saved with the weights.
    """

    @abstractmethod
    def calibrate(self, rows: Float[Tensor, "N P"]) -> None:
        """Measure the scales of the training split and keep them in buffers."""

    @abstractmethod
    def embed(self, rows: Float[Tensor, "B P"]) -> Float[Tensor, "B E"]:
        """Learned features of each field, before the last linear layer."""

    @abstractmethod
    def forward(self, rows: Float[Tensor, "B P"]) -> Float[Tensor, "B classes"]:
        """Class scores (logits) of each field."""


class Classifier(Protocol):
    """Hyperparameters of a classifier: a frozen dataclass whose every attribute has a default."""

    def build(self, field: NeuralField, classes: int) -> WeightReader:
        """A fresh reader of this field's rows, initialised from torch's current random state."""


def count_parameters(reader: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(parameter.numel() for parameter in reader.parameters() if parameter.requires_grad)
