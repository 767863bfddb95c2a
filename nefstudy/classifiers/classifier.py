"""The interface of every weight classifier: frozen hyperparameters that build a network on flat rows."""

from abc import ABC, abstractmethod
from typing import Protocol, TypeVar, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn

from nefstudy.fields.field import NeuralField


class WeightClassifier(nn.Module, ABC):
    """A network that maps flat parameter rows to class scores.

    `calibrate` is called once, before training, with rows of the training split only. The statistics that it measures
    are kept in buffers, so they are saved with the weights: scalars per layer, and the mean of each entry in a network
    that reads centered features (`ClassifierConfig.reading`). Such a network also takes rows of `framed`.
    """

    @abstractmethod
    def calibrate(self, rows: Float[Tensor, "N P"]) -> None:
        """Measure the scales of the parameters on the training split, and store them in buffers."""

    def framed(self, rows: Float[Tensor, "B P"]) -> Float[Tensor, "B Q"]:
        """Return the rows with the training mean next to each, if the network reads it, so that both can be moved."""
        return rows

    @abstractmethod
    def embed(self, rows: Float[Tensor, "B P"]) -> Float[Tensor, "B E"]:
        """Return the learned features of each field, which are the input of the last linear layer."""

    @abstractmethod
    def forward(self, rows: Float[Tensor, "B P"]) -> Float[Tensor, "B classes"]:
        """Return class scores (logits) for each field."""


@runtime_checkable
class ClassifierSpec(Protocol):
    """The hyperparameters of a classifier: a frozen dataclass in which every attribute has a default.

    If `build` has the argument `centered`, its networks can read centered features (`ClassifierConfig.reading`).
    """

    def build(self, field: NeuralField, classes: int) -> WeightClassifier:
        """Return an untrained network for rows of this field, initialized from torch's random state."""


M = TypeVar("M", Tensor, Tensor | None)


def split_mean(rows: Float[Tensor, "B Q"], parameters: int, *, default: M) -> tuple[Float[Tensor, "B P"], M]:
    """Return rows and the means next to them (see `WeightClassifier.framed`), or the default for rows without means."""
    if rows.shape[1] > parameters:
        return rows[:, :parameters], rows[:, parameters:]
    return rows, default


def count_parameters(network: nn.Module) -> int:
    """Return the number of trained parameters."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
