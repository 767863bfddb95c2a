"""`gnn`: the study's message passing with edge states and PNA aggregation (Papa et al. 2024, section 3).

Permutations of hidden units leave it unchanged; signs do not. Every edge carries a state, in both
directions, so it costs far more than `gnn-sign`. This file holds the network and its dense path, for a
batch of one architecture; `sparse` runs the same network on torch-geometric batches of mixed ones.
Letters: B fields, S and T source and target units, N units, C channels.
"""

from dataclasses import dataclass
from itertools import pairwise
from math import log

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from nefstudy.classifiers.classifier import WeightReader
from nefstudy.classifiers.graph import WeightGraph, weight_graph
from nefstudy.fields.field import NeuralField
from nefstudy.fields.hyperparameter import check, hyperparameter
from nefstudy.scalars import Scalar

# Hidden widths of 0.5M, 1.2M and 1.5M parameters on a 2-32-32-3 SIREN (Papa et al. 2024 suppl., figure 1).
GNN_SIZES: dict[str, dict[str, Scalar]] = {
    "0.5M": {"node_hidden": 128, "edge_hidden": 128},
    "1.2M": {"node_hidden": 256, "edge_hidden": 256},
    "1.5M": {"node_hidden": 320, "edge_hidden": 256},
}
_LEAST_VARIANCE = 1e-5  # as torch-geometric's StdAggregation, so that both paths agree


@dataclass(frozen=True)
class Gnn:
    """Message passing with a state per unit and per directed edge.

    Attributes:
        width: channels of a state; default 64, with 4 steps, three node layers and two edge layers of 256:
            Papa et al. 2024, section 3.
        dropout: of the pooled features, in training.
    """

    width: int = hyperparameter(64, low=1, high=4096)
    steps: int = hyperparameter(4, low=1, high=64)
    node_hidden: int = hyperparameter(256, low=1, high=8192)
    edge_hidden: int = hyperparameter(256, low=1, high=8192)
    dropout: float = hyperparameter(0.0, low=0.0, high=0.99)

    def __post_init__(self) -> None:
        check(self)

    def build(self, field: NeuralField, classes: int) -> "EdgeGnn":
        """A fresh reader of this field's rows."""
        return EdgeGnn(self, weight_graph(field, signs=False), classes)


class Step(nn.Module):
    """One round: every edge takes a new state from its ends, every unit from its incoming edges."""

    def __init__(self, choice: Gnn) -> None:
        super().__init__()
        width = choice.width
        self.on_edges = _perceptron(3 * width, choice.edge_hidden, width)
        self.on_units = _perceptron(9 * width, choice.node_hidden, choice.node_hidden, width)

    def edge(self, source: Tensor, target: Tensor, state: Tensor) -> Tensor:
        """New state of edges, given the states of both ends."""
        change: Tensor = self.on_edges(torch.cat([source, target, state], dim=-1))
        return state + change

    def unit(self, state: Tensor, heard: Tensor, amplified: Tensor) -> Tensor:
        """New state of units, given mean, minimum, maximum and deviation of their edges, plain and amplified."""
        change: Tensor = self.on_units(torch.cat([state, heard, amplified], dim=-1))
        return state + change


class EdgeGnn(WeightReader):
    """The network of `Gnn`, read out from the output units.

    Input and output units have an embedding each, a hidden layer has one for all its units.
    """

    def __init__(self, choice: Gnn, graph: WeightGraph, classes: int) -> None:
        super().__init__()
        self.graph = graph
        self.scales: Tensor
        self.register_buffer("scales", torch.ones(len(graph.readings)))
        self.columns = (
            max(1, *(len(layer.readings) for layer in graph.layers)),
            max(len(block.readings) for block in graph.blocks),
        )
        self.kinds = unit_kinds(graph)
        self.identity = nn.Embedding(sum(1 if v.role == "hidden" else v.size for v in graph.layers), choice.width)
        self.unit = nn.Linear(self.columns[0], choice.width)
        self.edge = nn.Linear(self.columns[1], choice.width)
        self.direction = nn.Embedding(2, choice.width)
        self.steps = nn.ModuleList(Step(choice) for _ in range(choice.steps))
        self.dropout = nn.Dropout(choice.dropout)
        self.hidden = nn.Linear(choice.width, choice.width)
        self.head = nn.Linear(choice.width, classes)
        self.degrees = [sum(graph.layers[sender].size for sender, _, _ in _incoming(graph, i)) for i in self.kinds]
        counts = [layer.size for layer in graph.layers]
        logs = [log(degree + 1) for degree in self.degrees]
        self.mean_log_degree = sum(n * value for n, value in zip(counts, logs, strict=True)) / sum(counts)

    def calibrate(self, rows: Float[Tensor, "N P"]) -> None:
        """Measure the root mean square of every reading."""
        self.scales.copy_(self.graph.scales(rows))

    def embed(self, rows: Float[Tensor, "B P"]) -> Float[Tensor, "B E"]:
        """The mean state of the output units, mixed once."""
        units, edges = self.graph.read(rows, self.scales)
        states = [
            self.unit(_padded(unit, self.columns[0])) + self.identity(self.kinds[i].to(rows.device))
            for i, unit in enumerate(units)
        ]
        on_edges = [self.edge(_padded(edge.permute(0, 2, 3, 1), self.columns[1])) for edge in edges]
        forward = [value + self.direction.weight[0] for value in on_edges]
        backward = [value.transpose(1, 2) + self.direction.weight[1] for value in on_edges]
        for step in self.rounds():
            states = self._round(step, states, (forward, backward))
        return self.read_out(states[-1].mean(dim=1))

    def rounds(self) -> list[Step]:
        """The steps, in order."""
        return [step for step in self.steps if isinstance(step, Step)]

    def read_out(self, pooled: Float[Tensor, "B C"]) -> Float[Tensor, "B E"]:
        """Features from the mean state of the output units."""
        features: Tensor = nn.functional.silu(self.hidden(self.dropout(pooled)))
        return features

    def forward(self, rows: Float[Tensor, "B P"]) -> Float[Tensor, "B classes"]:
        """Class scores (logits) of each field."""
        scores: Tensor = self.head(self.embed(rows))
        return scores

    def _round(self, step: Step, states: list[Tensor], edges: tuple[list[Tensor], list[Tensor]]) -> list[Tensor]:
        new = []
        for receiver in self.kinds:
            heard = []
            for sender, block, direction in _incoming(self.graph, receiver):
                ends = _ends(states[sender], states[receiver])
                edges[direction][block] = step.edge(*ends, edges[direction][block])
                heard.append(edges[direction][block])
            new.append(self._listen(step, states[receiver], torch.cat(heard, dim=1), receiver))
        return new

    def _listen(self, step: Step, state: Tensor, heard: Float[Tensor, "B S T C"], receiver: int) -> Tensor:
        mean = heard.mean(dim=1)
        variance = heard.square().mean(dim=1) - mean.square()
        every = torch.cat([mean, heard.amin(dim=1), heard.amax(dim=1), deviation(variance)], dim=2)
        return step.unit(state, every, every * self.amplification(self.degrees[receiver]))

    def amplification(self, degree: int) -> float:
        """PNA's factor for units of this in-degree (Corso et al. 2020)."""
        return log(degree + 1) / self.mean_log_degree


def deviation(variance: Tensor) -> Tensor:
    """Square root of a variance, with a finite gradient where it is zero."""
    root = variance.clamp(min=_LEAST_VARIANCE).sqrt()
    return root.masked_fill(variance <= _LEAST_VARIANCE, 0.0)


def unit_kinds(graph: WeightGraph) -> dict[int, Int[Tensor, " n"]]:
    """Embedding number of each unit, by layer: one for each input and output unit, one for a hidden layer."""
    kinds, first = {}, 0
    for index, layer in enumerate(graph.layers):
        shared = layer.role == "hidden"
        kinds[index] = torch.full((layer.size,), first) if shared else torch.arange(first, first + layer.size)
        first += 1 if shared else layer.size
    return kinds


def _incoming(graph: WeightGraph, receiver: int) -> list[tuple[int, int, int]]:
    """Sending layer, block and direction (0 along the field, 1 back) of all edges into a layer."""
    forward = [(block.source, i, 0) for i, block in enumerate(graph.blocks) if block.target == receiver]
    return forward + [(block.target, i, 1) for i, block in enumerate(graph.blocks) if block.source == receiver]


def _ends(sender: Float[Tensor, "B S C"], receiver: Float[Tensor, "B T C"]) -> tuple[Tensor, Tensor]:
    shape = (-1, sender.shape[1], receiver.shape[1], -1)
    return sender.unsqueeze(2).expand(shape), receiver.unsqueeze(1).expand(shape)


def _padded(values: Tensor, columns: int) -> Tensor:
    return nn.functional.pad(values, (0, columns - values.shape[-1]))


def _perceptron(*widths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        layers += [nn.Linear(a, b), nn.SiLU()]
    return nn.Sequential(*layers[:-1])
