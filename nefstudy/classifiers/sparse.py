"""The network of `gnn` on torch-geometric graphs, for batches that mix architectures of one kind of field.

`graphs` turns rows into `Data`; `score_graphs` reads a `Batch` of them with an `EdgeGnn`. On fields of the
reader's own architecture the scores equal those of its dense path. A field of another depth or width is
read with the same weights: hidden layers beyond those the reader knows share the last one's embedding.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.nn.aggr import MultiAggregation

from nefstudy.classifiers.gnn import EdgeGnn
from nefstudy.classifiers.graph import WeightGraph
from nefstudy.errors import BadConfig


def graphs(reader: EdgeGnn, graph: WeightGraph, rows: Float[Tensor, "F N"], *, scales: Tensor) -> list[Data]:
    """One `Data` for each row of one architecture, scaled by that architecture's own training split.

    Attributes of the graphs: x and kind of units, edge_index, edge_attr and direction of edges (each edge
    of the field once along it and once back), and which units are outputs.

    Raises:
        BadConfig: the reader was built for coordinates or channels of other dimensions.
    """
    ours, theirs = reader.graph.field, graph.field
    if (type(ours), ours.in_dim, ours.out_dim) != (type(theirs), theirs.in_dim, theirs.out_dim):
        raise BadConfig(f"graphs of {theirs} cannot be read by a classifier of {ours}; train one for them")
    units, edges = graph.read(rows, scales)
    x = torch.cat([_padded(unit, reader.columns[0]) for unit in units], dim=1)
    along = torch.cat([_padded(e.flatten(2).mT, reader.columns[1]) for e in edges], dim=1)
    index = _edge_index(graph)
    kind, output = _kinds(reader.graph, graph), torch.zeros(x.shape[1], dtype=torch.bool)
    output[-graph.layers[-1].size :] = True
    direction = torch.arange(2).repeat_interleave(index.shape[1])
    both = torch.cat([index, index.flip(0)], dim=1)
    return [
        Data(
            x=x[i],
            edge_index=both,
            edge_attr=torch.cat([along[i], along[i]]),
            kind=kind,
            direction=direction,
            output=output,
        )
        for i in range(len(rows))
    ]


def score_graphs(reader: EdgeGnn, batch: Batch) -> Float[Tensor, "B classes"]:
    """Class scores (logits) of every graph of a batch."""
    states = reader.unit(batch.x) + reader.identity(batch.kind)
    edges = reader.edge(batch.edge_attr) + reader.direction(batch.direction)
    source, target = batch.edge_index
    degree = torch.bincount(target, minlength=len(states)).to(states)
    amplify = ((degree + 1).log() / reader.mean_log_degree).unsqueeze(1)
    aggregate = MultiAggregation(["mean", "min", "max", "std"])
    for step in reader.rounds():
        edges = step.edge(states[source], states[target], edges)
        every = aggregate(edges, target, dim_size=len(states))
        states = step.unit(states, every, every * amplify)
    pooled = states.new_zeros(batch.num_graphs, states.shape[1])
    pooled.index_add_(0, batch.batch[batch.output], states[batch.output])
    counts = torch.bincount(batch.batch[batch.output], minlength=batch.num_graphs).unsqueeze(1)
    scores: Tensor = reader.head(reader.read_out(pooled / counts))
    return scores


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
