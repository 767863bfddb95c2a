"""`gnn`: message passing with edge states and principal neighborhood aggregation (PNA; Papa et al. 2024, section 3).

The scores are invariant to permutations of hidden units but not to signs. Every edge has a state in each direction, so
that the network costs far more than `gnn-sign`. This file holds the network and its dense path, for batches of one
architecture; `sparse` runs the same network on torch-geometric batches of mixed architectures.
With `lift`, `norm`, `modulate` and `read_out` it also has what the public code of neural graphs has (Kofinas et al.
2024); by default it has not.
Letters: B fields, S and T source and target units, N units, O output units, C channels.
"""

from dataclasses import dataclass
from itertools import pairwise
from math import log

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from nefstudy.classifiers.networks.graph import WeightGraph, weight_graph
from nefstudy.classifiers.networks.graph_network import GraphNetwork
from nefstudy.classifiers.networks.lift import first_layer
from nefstudy.fields.field import NeuralField
from nefstudy.fields.hyperparameter import check, choice, hyperparameter, switch
from nefstudy.scalars import Scalar

# Hidden widths of 0.5M, 1.2M and 1.5M parameters on a 2-32-32-3 SIREN (Papa et al. 2024 suppl., figure 1).
GNN_SIZES: dict[str, dict[str, Scalar]] = {
    "0.5M": {"node_hidden": 128, "edge_hidden": 128},
    "1.2M": {"node_hidden": 256, "edge_hidden": 256},
    "1.5M": {"node_hidden": 320, "edge_hidden": 256},
}
_MIN_VARIANCE = 1e-5  # as in torch-geometric's StdAggregation, so that both paths agree


@dataclass(frozen=True)
class Gnn:
    """Message passing with a state per unit and per directed edge.

    Attributes:
        width: channels of a state; the default 64, with 4 steps, three node layers and two edge layers of 256, is that
            of Papa et al. 2024, section 3.
        dropout: dropout rate of the pooled features in training.
        lift: random Fourier features of each weight and bias; 0 reads the scalar itself.
        sigma: standard deviation of the features' frequencies; it has no effect without `lift`.
        norm: `after` normalizes the channels of a unit after each step.
        modulate: an edge's message is a linear function of both units, scaled and shifted by functions of the edge's
            state. Otherwise it is the state itself.
        read_out: the features of a field are the `mean` of the output units' states, or all of them (`concatenate`).
    """

    width: int = hyperparameter(64, low=1, high=4096)
    steps: int = hyperparameter(4, low=1, high=64)
    node_hidden: int = hyperparameter(256, low=1, high=8192)
    edge_hidden: int = hyperparameter(256, low=1, high=8192)
    dropout: float = hyperparameter(0.0, low=0.0, high=0.99)
    lift: int = hyperparameter(0, low=0, high=4096, late=True)
    sigma: float = hyperparameter(1.0, low=0.0, high=1000.0, late=True)
    norm: str = choice("none", "after", late=True)
    modulate: bool = switch(False, late=True)
    read_out: str = choice("mean", "concatenate", late=True)

    def __post_init__(self) -> None:
        check(self)

    def build(self, field: NeuralField, classes: int, *, centered: bool = False) -> "GnnNetwork":
        """Return an untrained network for rows of this field."""
        return GnnNetwork(self, weight_graph(field, signs=False, centered=centered), classes)


class Modulation(nn.Module):
    """Messages of edges: a linear function of the states of both units, scaled and shifted by those of the edge."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.of_edge = nn.Linear(width, 2 * width)
        self.of_source = nn.Linear(width, width)
        self.of_target = nn.Linear(width, width, bias=False)

    def forward(self, source: Tensor, target: Tensor, state: Tensor) -> Tensor:
        """Return the messages; states of units broadcast against those of edges."""
        scale, shift = self.of_edge(state).chunk(2, dim=-1)
        message: Tensor = scale * (self.of_source(source) + self.of_target(target)) + shift
        return message


class Step(nn.Module):
    """One step of message passing, which updates edges from the units at both ends, then units from incoming edges."""

    def __init__(self, spec: Gnn) -> None:
        super().__init__()
        width = spec.width
        self.on_edges = _perceptron(3 * width, spec.edge_hidden, width)
        self.on_units = _perceptron(9 * width, spec.node_hidden, spec.node_hidden, width)
        self.modulation = Modulation(width) if spec.modulate else None
        self.norm = nn.LayerNorm(width) if spec.norm == "after" else nn.Identity()

    def edge(self, source: Tensor, target: Tensor, state: Tensor) -> Tensor:
        """Return the new states of edges, given the states of the units at both ends."""
        change: Tensor = self.on_edges(torch.cat([source, target, state], dim=-1))
        return state + change

    def message(self, source: Tensor, target: Tensor, state: Tensor) -> Tensor:
        """Return the messages of edges, given their states and those of the units at both ends, which broadcast."""
        message: Tensor = state if self.modulation is None else self.modulation(source, target, state)
        return message

    def unit(self, state: Tensor, aggregated: Tensor, amplified: Tensor) -> Tensor:
        """Return the new states of units, given statistics of the incoming messages, plain and amplified."""
        new: Tensor = self.norm(state + self.on_units(torch.cat([state, aggregated, amplified], dim=-1)))
        return new


class GnnNetwork(GraphNetwork):
    """The network of `Gnn`; its head reads the output units.

    Each input and output unit has its own embedding; the units of a hidden layer share one.
    """

    def __init__(self, spec: Gnn, graph: WeightGraph, classes: int) -> None:
        super().__init__(graph)
        self.columns = (
            max(1, *(len(layer.features) for layer in graph.layers)),
            max(len(block.features) for block in graph.blocks),
        )
        self.kinds = unit_kinds(graph)
        self.identity = nn.Embedding(sum(1 if v.role == "hidden" else v.size for v in graph.layers), spec.width)
        self.unit, self.edge = (first_layer(n, spec.width, lift=spec.lift, sigma=spec.sigma) for n in self.columns)
        self.direction = nn.Embedding(2, spec.width)
        self.steps = nn.ModuleList(Step(spec) for _ in range(spec.steps))
        self.dropout = nn.Dropout(spec.dropout)
        self.concatenates = spec.read_out == "concatenate"
        self.hidden = nn.Linear(spec.width * (graph.layers[-1].size if self.concatenates else 1), spec.width)
        self.head = nn.Linear(spec.width, classes)
        self.degrees = [sum(graph.layers[sender].size for sender, _, _ in _incoming(graph, i)) for i in self.kinds]
        counts = [layer.size for layer in graph.layers]
        logs = [log(degree + 1) for degree in self.degrees]
        self.mean_log_degree = sum(n * value for n, value in zip(counts, logs, strict=True)) / sum(counts)

    def embed(self, rows: Float[Tensor, "B P"]) -> Float[Tensor, "B E"]:
        """Return the mean state of the output units, or all their states, passed through one more layer."""
        units, edges = self.extract(rows)
        states = [
            self.unit(_padded(unit, self.columns[0])) + self.identity(self.kinds[i].to(rows.device))
            for i, unit in enumerate(units)
        ]
        on_edges = [self.edge(_padded(edge.permute(0, 2, 3, 1), self.columns[1])) for edge in edges]
        forward = [value + self.direction.weight[0] for value in on_edges]
        backward = [value.transpose(1, 2) + self.direction.weight[1] for value in on_edges]
        for step in self.rounds():
            states = self._round(step, states, (forward, backward))
        return self.read_out(states[-1].flatten(1) if self.concatenates else states[-1].mean(dim=1))

    def rounds(self) -> list[Step]:
        """Return the steps in order, statically typed as `Step`."""
        return [step for step in self.steps if isinstance(step, Step)]

    def read_out(self, pooled: Float[Tensor, "B _"]) -> Float[Tensor, "B E"]:
        """Return the features of the mean state of the output units, or of their concatenated states."""
        features: Tensor = nn.functional.silu(self.hidden(self.dropout(pooled)))
        return features

    def _round(self, step: Step, states: list[Tensor], edges: tuple[list[Tensor], list[Tensor]]) -> list[Tensor]:
        new = []
        for receiver in self.kinds:
            incoming = []
            for sender, block, direction in _incoming(self.graph, receiver):
                ends = _ends(states[sender], states[receiver])
                edges[direction][block] = step.edge(*ends, edges[direction][block])
                ends = states[sender].unsqueeze(2), states[receiver].unsqueeze(1)
                incoming.append(step.message(*ends, edges[direction][block]))
            new.append(self._aggregate(step, states[receiver], torch.cat(incoming, dim=1), receiver))
        return new

    def _aggregate(self, step: Step, state: Tensor, incoming: Float[Tensor, "B S T C"], receiver: int) -> Tensor:
        mean = incoming.mean(dim=1)
        variance = incoming.square().mean(dim=1) - mean.square()
        aggregated = torch.cat([mean, incoming.amin(dim=1), incoming.amax(dim=1), deviation(variance)], dim=2)
        return step.unit(state, aggregated, aggregated * self.amplification(self.degrees[receiver]))

    def amplification(self, degree: int) -> float:
        """Return PNA's amplification factor (Corso et al. 2020) for units with `degree` incoming edges."""
        return log(degree + 1) / self.mean_log_degree


def deviation(variance: Tensor) -> Tensor:
    """Return the square root of a variance, with a finite gradient where the variance is zero."""
    root = variance.clamp(min=_MIN_VARIANCE).sqrt()
    return root.masked_fill(variance <= _MIN_VARIANCE, 0.0)


def unit_kinds(graph: WeightGraph) -> dict[int, Int[Tensor, " n"]]:
    """Return the embedding index of each unit by layer; units of a hidden layer share one index."""
    kinds, first = {}, 0
    for index, layer in enumerate(graph.layers):
        shared = layer.role == "hidden"
        kinds[index] = torch.full((layer.size,), first) if shared else torch.arange(first, first + layer.size)
        first += 1 if shared else layer.size
    return kinds


def _incoming(graph: WeightGraph, receiver: int) -> list[tuple[int, int, int]]:
    """Return the (sending layer, block, direction) tuples of all edges into a layer.

    The direction is 0 forward through the field and 1 back.
    """
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
