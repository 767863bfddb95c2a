"""`transformer`: attention between all pairs of units, informed by the edge between them.

Relational attention (Diao & Loynd 2023) on the field's graph: queries, keys and values of a pair are linear in the
states of its units and of its edge, and every round ends with an update of the edge states. Pairs that share no weight
have an edge too, whose features are zero. The scores are invariant to permutations of hidden units but not to signs.
With `lift`, `norm`, `modulate` and `read_out` it also has what the public code of neural graphs has (Kofinas et al.
2024); by default it has not.
Letters: B fields, N units, C channels, K heads, D channels of a head.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nefstudy.classifiers.networks.gnn import unit_kinds
from nefstudy.classifiers.networks.graph import WeightGraph, weight_graph
from nefstudy.classifiers.networks.graph_network import GraphNetwork
from nefstudy.classifiers.networks.lift import first_layer
from nefstudy.errors import BadConfig
from nefstudy.fields.field import NeuralField
from nefstudy.fields.hyperparameter import check, choice, hyperparameter, switch


@dataclass(frozen=True)
class Transformer:
    """Relational attention over the units of a field.

    Attributes:
        width: channels of a unit's state; a multiple of `heads`.
        edge_width: channels of an edge's state; there are many pairs, so these channels dominate the cost.
        rounds: number of attention layers.
        dropout: dropout rate of the pooled features in training.
        lift: random Fourier features of each weight and bias; 0 reads the scalar itself.
        sigma: standard deviation of the features' frequencies; it has no effect without `lift`.
        norm: layer normalization `before` each block, or `after` it.
        modulate: an edge also multiplies the values of the units that are attended to.
        read_out: the features of a field are the `mean` of the states of each layer except the input, or all states of
            the output units (`concatenate`).
    """

    width: int = hyperparameter(64, low=1, high=4096)
    edge_width: int = hyperparameter(32, low=1, high=4096)
    heads: int = hyperparameter(4, low=1, high=64)
    rounds: int = hyperparameter(4, low=1, high=64)
    dropout: float = hyperparameter(0.0, low=0.0, high=0.99)
    lift: int = hyperparameter(0, low=0, high=4096, late=True)
    sigma: float = hyperparameter(1.0, low=0.0, high=1000.0, late=True)
    norm: str = choice("before", "after", late=True)
    modulate: bool = switch(False, late=True)
    read_out: str = choice("mean", "concatenate", late=True)

    def __post_init__(self) -> None:
        check(self)
        if self.width % self.heads:
            raise BadConfig(f"Transformer width = {self.width}: must be a multiple of heads = {self.heads}; change one")

    def build(self, field: NeuralField, classes: int, *, centered: bool = False) -> "TransformerNetwork":
        """Return an untrained network for rows of this field."""
        return TransformerNetwork(self, weight_graph(field, signs=False, centered=centered), classes)


class Round(nn.Module):
    """An attention layer: each unit attends to all units, using the edges between them; units and edges are updated."""

    def __init__(self, spec: Transformer) -> None:
        super().__init__()
        width, edge_width = spec.width, spec.edge_width
        self.heads, self.modulates, self.normalizes_after = spec.heads, spec.modulate, spec.norm == "after"
        self.unit_norm, self.edge_norm, self.inner_norm = (nn.LayerNorm(n) for n in (width, edge_width, width))
        self.of_units = nn.Linear(width, 3 * width)
        self.of_edges = nn.Linear(edge_width, (4 if spec.modulate else 3) * width, bias=False)
        self.join = nn.Linear(width, width)
        self.inner = nn.Sequential(nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width))
        self.ends = nn.Linear(width, 2 * edge_width)
        self.between = nn.Linear(2 * edge_width, edge_width)
        self.onward = nn.Linear(edge_width, edge_width)

    def forward(
        self, units: Float[Tensor, "B N C"], edges: Float[Tensor, "B N N E"]
    ) -> tuple[Float[Tensor, "B N C"], Float[Tensor, "B N N E"]]:
        """Return the new states of units and edges.

        Entry [i, j] of the edges is the edge that unit i uses when it attends to unit j.
        """
        if self.normalizes_after:
            units = self.unit_norm(units + self.join(self._attend(units, edges)))
            units = self.inner_norm(units + self.inner(units))
            return units, self.edge_norm(edges + self._edge_change(units, edges))
        normalized = self.edge_norm(edges)
        units = units + self.join(self._attend(self.unit_norm(units), normalized))
        units = units + self.inner(self.inner_norm(units))
        return units, edges + self._edge_change(units, normalized)

    def _edge_change(self, units: Float[Tensor, "B N C"], edges: Float[Tensor, "B N N E"]) -> Float[Tensor, "B N N E"]:
        one, other = self.ends(units).chunk(2, dim=2)
        both = self.between(torch.cat([edges, edges.transpose(1, 2)], dim=3))
        change: Tensor = self.onward(nn.functional.silu(both + one.unsqueeze(2) + other.unsqueeze(1)))
        return change

    def _attend(self, units: Float[Tensor, "B N C"], edges: Float[Tensor, "B N N E"]) -> Float[Tensor, "B N C"]:
        shape = (*edges.shape[:3], self.heads, -1)
        query, key, value = self.of_units(units).chunk(3, dim=2)
        edge_query, edge_key, edge_value, *factor = self.of_edges(edges).split(units.shape[2], dim=3)
        q_BNNKD = (query.unsqueeze(2) + edge_query).reshape(shape)
        k_BNNKD = (key.unsqueeze(1) + edge_key).reshape(shape)
        values = value.unsqueeze(1) * factor[0] if self.modulates else value.unsqueeze(1)
        v_BNNKD = (values + edge_value).reshape(shape)
        weight = ((q_BNNKD * k_BNNKD).sum(dim=4) * q_BNNKD.shape[4] ** -0.5).softmax(dim=2)
        attended: Tensor = (weight.unsqueeze(4) * v_BNNKD).sum(dim=2).flatten(2)
        return attended


class TransformerNetwork(GraphNetwork):
    """The network of `Transformer`; its head reads the mean over the units of each layer, or the output units."""

    def __init__(self, spec: Transformer, graph: WeightGraph, classes: int) -> None:
        super().__init__(graph)
        self.kinds: Tensor
        self.register_buffer("kinds", torch.cat(list(unit_kinds(graph).values())), persistent=False)
        self.sizes = [layer.size for layer in graph.layers]
        self.unit_columns = max(1, *(len(layer.features) for layer in graph.layers))
        self.edge_columns = max(len(block.features) for block in graph.blocks)
        self.identity = nn.Embedding(int(self.kinds.max()) + 1, spec.width)
        self.unit = first_layer(self.unit_columns, spec.width, lift=spec.lift, sigma=spec.sigma)
        self.edge = first_layer(2 * self.edge_columns, spec.edge_width, lift=spec.lift, sigma=spec.sigma)
        self.rounds = nn.ModuleList(Round(spec) for _ in range(spec.rounds))
        self.dropout = nn.Dropout(spec.dropout)
        self.concatenates = spec.read_out == "concatenate"
        read = self.sizes[-1] if self.concatenates else len(self.sizes) - 1
        self.hidden = nn.Linear(read * spec.width, spec.width)
        self.head = nn.Linear(spec.width, classes)

    def embed(self, rows: Float[Tensor, "B P"]) -> Float[Tensor, "B E"]:
        """Return the mean states of all layers except the input, or the output units' states, after one more layer."""
        units, edges = self._tokens(rows)
        for attention in self.rounds:
            units, edges = attention(units, edges)
        *_, outputs = layers = torch.split(units, self.sizes, dim=1)
        pooled = [outputs.flatten(1)] if self.concatenates else [layer.mean(dim=1) for layer in layers[1:]]
        features: Tensor = nn.functional.silu(self.hidden(self.dropout(torch.cat(pooled, dim=1))))
        return features

    def _tokens(self, rows: Float[Tensor, "B P"]) -> tuple[Float[Tensor, "B N C"], Float[Tensor, "B N N E"]]:
        units, edges = self.extract(rows)
        x = torch.cat([nn.functional.pad(unit, (0, self.unit_columns - unit.shape[2])) for unit in units], dim=1)
        pairs = rows.new_zeros(len(rows), len(self.kinds), len(self.kinds), 2 * self.edge_columns)
        first = [sum(self.sizes[:i]) for i in range(len(self.sizes))]
        for block, edge in zip(self.graph.blocks, edges, strict=True):
            s, t = (slice(first[i], first[i] + self.sizes[i]) for i in (block.source, block.target))
            columns = edge.shape[1]
            pairs[:, t, s, :columns] = edge.permute(0, 3, 2, 1)
            pairs[:, s, t, self.edge_columns : self.edge_columns + columns] = edge.permute(0, 2, 3, 1)
        return self.unit(x) + self.identity(self.kinds), self.edge(pairs)
