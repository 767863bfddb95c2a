"""The base of the networks on a field's graph: the statistics of its input features, and how rows become features."""

from abc import ABC

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nefstudy.classifiers.classifier import WeightClassifier, split_mean
from nefstudy.classifiers.networks.graph import WeightGraph


class GraphNetwork(WeightClassifier, ABC):
    """A network on the input features of a graph.

    Attributes:
        scales: the root mean square of each feature.
        mean: the mean of the training rows, [1, P], or None if the graph has no centered features.
        head: the last linear layer, which each network defines after its other layers.
    """

    head: nn.Linear

    def __init__(self, graph: WeightGraph) -> None:
        super().__init__()
        self.graph = graph
        self.scales: Tensor
        self.mean: Tensor | None
        self.register_buffer("scales", torch.ones(len(graph.features)))
        self.register_buffer("mean", torch.zeros(1, graph.parameters) if graph.centered else None)

    def calibrate(self, rows: Float[Tensor, "N P"]) -> None:
        """Measure the mean of every parameter, if it is read, and the root mean square of every input feature."""
        if self.mean is not None:
            self.mean.copy_(rows.double().mean(dim=0, keepdim=True))
        self.scales.copy_(self.graph.scales(rows, self.mean))

    def framed(self, rows: Float[Tensor, "B P"]) -> Float[Tensor, "B Q"]:
        """Return the rows with the training mean next to each, if the network reads it."""
        return rows if self.mean is None else torch.cat([rows, self.mean.expand_as(rows)], dim=1)

    def extract(self, rows: Float[Tensor, "B Q"]) -> tuple[list[Tensor], list[Tensor]]:
        """Return the scaled features of layers and blocks (see `WeightGraph.extract`)."""
        rows, mean = split_mean(rows, self.graph.parameters, default=self.mean)
        return self.graph.extract(rows, self.scales, mean)

    def forward(self, rows: Float[Tensor, "B Q"]) -> Float[Tensor, "B classes"]:
        """Return class scores (logits) for each field."""
        scores: Tensor = self.head(self.embed(rows))
        return scores
