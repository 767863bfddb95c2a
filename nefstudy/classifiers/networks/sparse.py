"""The network of `gnn` on torch-geometric graphs, for batches that mix architectures of one kind of field.

`graphs` turns rows into `Data`; `embed_graphs` and `score_graphs` classify a `Batch` of them with a `GnnNetwork`, and
`MixedNetwork` trains it on rows of several architectures. On fields of the architecture that the network was built for,
the scores equal those of its dense path. Fields of another depth or width are classified with the same weights:
additional hidden layers share the embedding of the last hidden one.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.nn.aggr import MultiAggregation

from nefstudy.classifiers.classifier import WeightClassifier
from nefstudy.classifiers.networks.gnn import GnnNetwork
from nefstudy.classifiers.networks.graph import WeightGraph, weight_graph
from nefstudy.errors import BadConfig
from nefstudy.fields.field import NeuralField


def graphs(
    network: GnnNetwork,
    graph: WeightGraph,
    rows: Float[Tensor, "F N"],
    *,
    scales: Float[Tensor, " R"],
    mean: Float[Tensor, "1 N"] | None = None,
) -> list[Data]:
    """Return one `Data` graph per row of an architecture; `scales` and `mean` come from its training split.

    Attributes of the graphs: x and kind of units; edge_index, edge_attr and direction of edges (each edge of the field
    once forward and once back); output, which marks the output units.

    Raises:
        BadConfig: the network was built for another class of field, or other numbers of coordinates or channels.
    """
    known, given = network.graph.field, graph.field
    if (type(known), known.in_dim, known.out_dim) != (type(given), given.in_dim, given.out_dim):
        raise BadConfig(f"the classifier was built for {known}, not for graphs of {given}; train one for them")
    units, edges = graph.extract(rows, scales, mean)
    x = torch.cat([_padded(unit, network.columns[0]) for unit in units], dim=1)
    forward = torch.cat([_padded(e.flatten(2).mT, network.columns[1]) for e in edges], dim=1)
    index = _edge_index(graph)
    kind, output = _kinds(network.graph, graph), torch.zeros(x.shape[1], dtype=torch.bool)
    output[-graph.layers[-1].size :] = True
    direction = torch.arange(2).repeat_interleave(index.shape[1])
    both = torch.cat([index, index.flip(0)], dim=1)
    return [
        Data(
            x=x[i],
            edge_index=both,
            edge_attr=torch.cat([forward[i], forward[i]]),
            kind=kind,
            direction=direction,
            output=output,
        )
        for i in range(len(rows))
    ]


class MixedNetwork(WeightClassifier):
    """A `GnnNetwork` for rows of several architectures, as `WeightData.architectures` defines them.

    The features of each architecture are scaled, and centered, by that architecture's rows of the training split.
    """

    def __init__(self, network: GnnNetwork, architectures: Sequence[NeuralField]) -> None:
        super().__init__()
        self.network = network
        centered = network.graph.centered
        self.graphs = [weight_graph(field, signs=False, centered=centered) for field in architectures]
        self.scales: Tensor
        self.means: Tensor
        self.register_buffer("scales", torch.ones(len(self.graphs), max(len(graph.features) for graph in self.graphs)))
        width = max(graph.parameters for graph in self.graphs)
        self.register_buffer("means", torch.zeros(len(self.graphs), width if centered else 0))

    def calibrate(self, rows: Float[Tensor, "N P"]) -> None:
        """Measure the mean of every parameter and the scale of every feature, separately for each architecture."""
        for index, graph in enumerate(self.graphs):
            own = self._own(rows, index)[1]
            if graph.centered:
                self.means[index, : graph.parameters] = own.double().mean(dim=0)
            self.scales[index, : len(graph.features)] = graph.scales(own, self._mean(index))

    def embed(self, rows: Float[Tensor, "B P"]) -> Float[Tensor, "B E"]:
        """Return the features of each field, which `GnnNetwork.read_out` makes of the states of its output units."""
        order, data = [], []
        for index, graph in enumerate(self.graphs):
            indices, own = self._own(rows, index)
            order.append(indices)
            scales = self.scales[index, : len(graph.features)]
            data += graphs(self.network, graph, own, scales=scales, mean=self._mean(index))
        return embed_graphs(self.network, Batch.from_data_list(data))[torch.cat(order).argsort()]

    def forward(self, rows: Float[Tensor, "B P"]) -> Float[Tensor, "B classes"]:
        """Return class scores (logits) for each field."""
        scores: Tensor = self.network.head(self.embed(rows))
        return scores

    def _own(self, rows: Float[Tensor, "B P"], index: int) -> tuple[Int[Tensor, " n"], Float[Tensor, "n N"]]:
        """Return the indices and parameters of the rows of one architecture."""
        indices = torch.nonzero(rows[:, 0] == index).flatten()
        return indices, rows[indices, 1 : 1 + self.graphs[index].parameters]

    def _mean(self, index: int) -> Float[Tensor, "1 N"] | None:
        graph = self.graphs[index]
        return self.means[index : index + 1, : graph.parameters] if graph.centered else None


def score_graphs(network: GnnNetwork, batch: Batch) -> Float[Tensor, "B classes"]:
    """Return class scores (logits) for every graph of a batch."""
    scores: Tensor = network.head(embed_graphs(network, batch))
    return scores


def embed_graphs(network: GnnNetwork, batch: Batch) -> Float[Tensor, "B E"]:
    """Return the learned features of every graph of a batch."""
    states = network.unit(batch.x) + network.identity(batch.kind)
    edges = network.edge(batch.edge_attr) + network.direction(batch.direction)
    source, target = batch.edge_index
    degree = torch.bincount(target, minlength=len(states)).to(states)
    amplify = ((degree + 1).log() / network.mean_log_degree).unsqueeze(1)
    aggregate = MultiAggregation(["mean", "min", "max", "std"])
    for step in network.rounds():
        edges = step.edge(states[source], states[target], edges)
        messages = step.message(states[source], states[target], edges)
        aggregated = aggregate(messages, target, dim_size=len(states))
        states = step.unit(states, aggregated, aggregated * amplify)
    if network.concatenates:
        return network.read_out(states[batch.output].reshape(batch.num_graphs, -1))
    pooled = states.new_zeros(batch.num_graphs, states.shape[1])
    pooled.index_add_(0, batch.batch[batch.output], states[batch.output])
    counts = torch.bincount(batch.batch[batch.output], minlength=batch.num_graphs).unsqueeze(1)
    return network.read_out(pooled / counts)


def _edge_index(graph: WeightGraph) -> Int[Tensor, "2 E"]:
    first = [0]
    for layer in graph.layers:
        first.append(first[-1] + layer.size)
    pieces = []
    for block in graph.blocks:
        s, t = graph.layers[block.source].size, graph.layers[block.target].size
        pieces.append(
            torch.cartesian_prod(torch.arange(s) + first[block.source], torch.arange(t) + first[block.target]).T
        )
    return torch.cat(pieces, dim=1)


def _kinds(known: WeightGraph, graph: WeightGraph) -> Int[Tensor, " n"]:
    inputs, last = known.layers[0].size, len(known.layers) - 2
    kinds = [torch.arange(inputs)]
    kinds += [torch.full((v.size,), inputs + min(i, last - 1)) for i, v in enumerate(graph.layers[1:-1])]
    return torch.cat([*kinds, torch.arange(inputs + last, inputs + last + graph.layers[-1].size)])


def _padded(values: Tensor, columns: int) -> Tensor:
    return torch.nn.functional.pad(values, (0, columns - values.shape[-1]))
