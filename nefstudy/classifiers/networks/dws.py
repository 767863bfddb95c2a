"""`dws`: linear maps that commute with every permutation of hidden units, with nonlinearities between them.

Deep weight-space layers (Navon et al. 2023), generated from the declared symmetry instead of written out
block by block. A field's scalars are grouped by the hidden layers whose units index them, their *axes*: none
(the output's bias), one (biases, and kernels from coordinates or to channels, whose fixed side is channels) or two
(kernels between hidden layers). Between tensors over axes A and A', the equivariant linear maps are the means down
to each common subset K of A and A', mixed over channels and repeated along the rest of A'. There are no others,
because no tensor has the same layer as an axis twice.

The scores are invariant to permutations but not to signs. Letters: B fields, C channels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nefstudy.classifiers.networks.graph import LayerEdges, WeightGraph, weight_graph
from nefstudy.classifiers.networks.graph_network import GraphNetwork
from nefstudy.classifiers.networks.norm import BatchNorm
from nefstudy.fields.field import NeuralField
from nefstudy.fields.hyperparameter import check, hyperparameter

Axes = tuple[int, ...]  # hidden layers, ascending
Features = dict[Axes, Tensor]  # tensors [B, units of each axis, C] by their axes


@dataclass(frozen=True)
class Dws:
    """Equivariant linear layers on all weights of a field, and an invariant head.

    Attributes:
        width: channels of the features of each weight.
        depth: number of equivariant layers.
        pooled: number of features of the head.
        dropout: dropout rate of the pooled features in training.
    """

    width: int = hyperparameter(32, low=1, high=4096)
    depth: int = hyperparameter(4, low=1, high=64)
    pooled: int = hyperparameter(128, low=1, high=8192)
    dropout: float = hyperparameter(0.0, low=0.0, high=0.99)

    def __post_init__(self) -> None:
        check(self)

    def build(self, field: NeuralField, classes: int, *, centered: bool = False) -> "DwsNetwork":
        """Return an untrained network for rows of this field."""
        return DwsNetwork(self, weight_graph(field, signs=False, centered=centered), classes)


def subsets(axes: Axes) -> list[Axes]:
    """Return every subset of the axes, starting with the empty subset."""
    return [subset for size in range(len(axes) + 1) for subset in combinations(axes, size)]


def pool(features: Mapping[Axes, Tensor], kept: Axes) -> Float[Tensor, "B *axes C"]:
    """Average each tensor whose axes include `kept` over its other axes, and concatenate the means."""
    means = []
    for axes, value in features.items():
        if set(kept) <= set(axes):
            pooled = [1 + i for i, axis in enumerate(axes) if axis not in kept]
            means.append(value.mean(dim=pooled) if pooled else value)
    return torch.cat(means, dim=-1)


class Equivariant(nn.Module):
    """The most general linear map between tensors of features that commutes with the permutations of every axis."""

    def __init__(self, channels: Mapping[Axes, int], width: int) -> None:
        super().__init__()
        self.kept = list(dict.fromkeys(kept for axes in channels for kept in subsets(axes)))
        maps = {}
        for target in channels:
            for kept in subsets(target):
                in_channels = sum(c for axes, c in channels.items() if set(kept) <= set(axes))
                maps[_name(target, kept)] = nn.Linear(in_channels, width, bias=not kept)
        self.maps = nn.ModuleDict(maps)

    def forward(self, features: Features) -> Features:
        """Return new features over the same axes."""
        means = {kept: pool(features, kept) for kept in self.kept}
        return {target: self._mapped(means, target) for target in features}

    def _mapped(self, means: Features, target: Axes) -> Tensor:
        """Return the sum of all maps to one target tensor."""
        terms: list[Tensor] = []
        for kept in subsets(target):
            value = self.maps[_name(target, kept)](means[kept])
            for i, axis in enumerate(target):
                value = value if axis in kept else value.unsqueeze(1 + i)
            terms.append(value)
        total = terms[0]
        for value in terms[1:]:
            total = total + value
        return total


class DwsNetwork(GraphNetwork):
    """The network of `Dws`; its head reads the means of the last features."""

    def __init__(self, spec: Dws, graph: WeightGraph, classes: int) -> None:
        super().__init__(graph)
        channels = self._channels()
        widths = dict.fromkeys(channels, spec.width)
        self.layers = nn.ModuleList(Equivariant(channels if i == 0 else widths, spec.width) for i in range(spec.depth))
        self.norm = BatchNorm(len(channels) * spec.width)
        self.dropout = nn.Dropout(spec.dropout)
        self.hidden = nn.Linear(len(channels) * spec.width, spec.pooled)
        self.head = nn.Linear(spec.pooled, classes)

    def embed(self, rows: Float[Tensor, "B P"]) -> Float[Tensor, "B E"]:
        """Return the final features, averaged over all axes, batch-normalized and passed through one layer."""
        features = self.features(rows)
        for i, layer in enumerate(self.layers):
            mapped = layer(features)
            features = {a: nn.functional.silu(v) + (features[a] if i else 0.0) for a, v in mapped.items()}
        mixed: Tensor = self.hidden(self.dropout(self.norm(pool(features, ()))))
        return nn.functional.silu(mixed)

    def _free(self, *layers: int) -> Axes:
        """Return the hidden layers among `layers`, which are the ones whose units may be permuted."""
        return tuple(sorted(i for i in layers if self.graph.layers[i].role == "hidden"))

    def _channels(self) -> dict[Axes, int]:
        """Return the number of scalars per entry of each tensor, by the tensor's axes."""
        counts: dict[Axes, int] = {}
        for i, layer in enumerate(self.graph.layers):
            axes, fixed = self._free(i), 1 if layer.role == "hidden" else layer.size
            if layer.features:
                counts[axes] = counts.get(axes, 0) + fixed * len(layer.features)
        for block in self.graph.blocks:
            axes, fixed = self._free(block.source, block.target), 1
            for i in {block.source, block.target} - set(axes):
                fixed *= self.graph.layers[i].size
            counts[axes] = counts.get(axes, 0) + fixed * len(block.features)
        return counts

    def features(self, rows: Float[Tensor, "B P"]) -> Features:
        """Return the scaled scalars of all fields, grouped by axes; layers that are not permuted become channels."""
        units, edges = self.extract(rows)
        groups: dict[Axes, list[Tensor]] = {}
        for i, unit in enumerate(units):
            if unit.shape[2]:
                axes = self._free(i)
                groups.setdefault(axes, []).append(unit if axes else unit.flatten(1))
        for block, edge in zip(self.graph.blocks, edges, strict=True):
            groups.setdefault(self._free(block.source, block.target), []).append(self._arranged(block, edge))
        return {axes: torch.cat(values, dim=-1) for axes, values in groups.items()}

    def _arranged(self, block: LayerEdges, edge: Float[Tensor, "B R S T"]) -> Float[Tensor, "B *axes C"]:
        """Return a block's features, with hidden layers as axes in ascending order and other layers as channels."""
        ends = ((block.source, 2), (block.target, 3))
        free = sorted((layer, axis) for layer, axis in ends if self.graph.layers[layer].role == "hidden")
        fixed = [axis for layer, axis in ends if self.graph.layers[layer].role != "hidden"]
        return edge.permute(0, *(axis for _, axis in free), 1, *fixed).flatten(1 + len(free))


def _name(target: Axes, kept: Axes) -> str:
    return f"{'-'.join(map(str, target))}|{'-'.join(map(str, kept))}"
