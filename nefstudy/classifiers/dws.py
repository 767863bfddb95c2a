"""`dws`: linear maps that commute with every permutation of hidden units, and non-linearities between them.

Deep weight-space layers (Navon et al. 2023), generated from the declared symmetry instead of written out
block by block. A field's scalars are grouped by the hidden layers whose units they run over, their *axes*: none
(the output's bias), one (biases, and kernels from coordinates or to channels, whose fixed side is channels) or two
(kernels between hidden layers). Between tensors over axes A and A', the equivariant linear maps are the means down
to each shared set K of A and A', mixed over channels and repeated along the rest of A'; nothing else commutes, for
no tensor runs over one layer twice.

Permutations leave the scores unchanged; signs do not. Letters: B fields, C channels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nefstudy.classifiers.classifier import WeightReader
from nefstudy.classifiers.graph import Block, WeightGraph, weight_graph
from nefstudy.classifiers.norm import BatchNorm
from nefstudy.fields.field import NeuralField
from nefstudy.fields.hyperparameter import check, hyperparameter

Axes = tuple[int, ...]  # hidden layers, ascending
Features = dict[Axes, Tensor]  # by axes: [B, units of each axis, C]


@dataclass(frozen=True)
class Dws:
    """Equivariant linear layers on all weights of a field, and an invariant head.

    Attributes:
        width: channels of every weight's features.
        depth: equivariant layers.
        pooled: features of the head.
        dropout: of the pooled features, in training.
    """

    width: int = hyperparameter(32, low=1, high=4096)
    depth: int = hyperparameter(4, low=1, high=64)
    pooled: int = hyperparameter(128, low=1, high=8192)
    dropout: float = hyperparameter(0.0, low=0.0, high=0.99)

    def __post_init__(self) -> None:
        check(self)

    def build(self, field: NeuralField, classes: int) -> "WeightSpaceReader":
        """A fresh reader of this field's rows."""
        return WeightSpaceReader(self, weight_graph(field, signs=False), classes)


def subsets(axes: Axes) -> list[Axes]:
    """Every subset of some axes, the empty one first."""
    return [some for size in range(len(axes) + 1) for some in combinations(axes, size)]


def pool(features: Mapping[Axes, Tensor], kept: Axes) -> Float[Tensor, "B *axes C"]:
    """Means down to the axes `kept` of all features that have them, side by side."""
    means = []
    for axes, value in features.items():
        if set(kept) <= set(axes):
            gone = [1 + i for i, axis in enumerate(axes) if axis not in kept]
            means.append(value.mean(dim=gone) if gone else value)
    return torch.cat(means, dim=-1)


class Equivariant(nn.Module):
    """The general linear map between features over axes that commutes with permuting each axis."""

    def __init__(self, channels: Mapping[Axes, int], width: int) -> None:
        super().__init__()
        self.kept = list(dict.fromkeys(kept for axes in channels for kept in subsets(axes)))
        maps = {}
        for target in channels:
            for kept in subsets(target):
                heard = sum(c for axes, c in channels.items() if set(kept) <= set(axes))
                maps[_name(target, kept)] = nn.Linear(heard, width, bias=not kept)
        self.maps = nn.ModuleDict(maps)

    def forward(self, features: Features) -> Features:
        """Features over the same axes."""
        means = {kept: pool(features, kept) for kept in self.kept}
        return {target: self._hear(means, target) for target in features}

    def _hear(self, means: Features, target: Axes) -> Tensor:
        heard: list[Tensor] = []
        for kept in subsets(target):
            value = self.maps[_name(target, kept)](means[kept])
            for i, axis in enumerate(target):
                value = value if axis in kept else value.unsqueeze(1 + i)
            heard.append(value)
        total = heard[0]
        for value in heard[1:]:
            total = total + value
        return total


class WeightSpaceReader(WeightReader):
    """The network of `Dws`, read out from the means of the last features."""

    def __init__(self, choice: Dws, graph: WeightGraph, classes: int) -> None:
        super().__init__()
        self.graph = graph
        self.scales: Tensor
        self.register_buffer("scales", torch.ones(len(graph.readings)))
        channels = self._channels()
        widths = dict.fromkeys(channels, choice.width)
        self.layers = nn.ModuleList(
            Equivariant(channels if i == 0 else widths, choice.width) for i in range(choice.depth)
        )
        self.norm = BatchNorm(len(channels) * choice.width)
        self.dropout = nn.Dropout(choice.dropout)
        self.hidden = nn.Linear(len(channels) * choice.width, choice.pooled)
        self.head = nn.Linear(choice.pooled, classes)

    def calibrate(self, rows: Float[Tensor, "N P"]) -> None:
        """Measure the root mean square of every reading."""
        self.scales.copy_(self.graph.scales(rows))

    def embed(self, rows: Float[Tensor, "B P"]) -> Float[Tensor, "B E"]:
        """Means of the last features over all axes, normalised over the batch, mixed once."""
        features = self.features(rows)
        for i, layer in enumerate(self.layers):
            heard = layer(features)
            features = {a: nn.functional.silu(v) + (features[a] if i else 0.0) for a, v in heard.items()}
        mixed: Tensor = self.hidden(self.dropout(self.norm(pool(features, ()))))
        return nn.functional.silu(mixed)

    def forward(self, rows: Float[Tensor, "B P"]) -> Float[Tensor, "B classes"]:
        """Class scores (logits) of each field."""
        scores: Tensor = self.head(self.embed(rows))
        return scores

    def _free(self, *layers: int) -> Axes:
        return tuple(sorted(i for i in layers if self.graph.layers[i].role == "hidden"))

    def _channels(self) -> dict[Axes, int]:
        """How many scalars meet at each entry of each tensor."""
        counts: dict[Axes, int] = {}
        for i, layer in enumerate(self.graph.layers):
            axes, fixed = self._free(i), 1 if layer.role == "hidden" else layer.size
            if layer.readings:
                counts[axes] = counts.get(axes, 0) + fixed * len(layer.readings)
        for block in self.graph.blocks:
            axes, fixed = self._free(block.source, block.target), 1
            for i in {block.source, block.target} - set(axes):
                fixed *= self.graph.layers[i].size
            counts[axes] = counts.get(axes, 0) + fixed * len(block.readings)
        return counts

    def features(self, rows: Float[Tensor, "B P"]) -> Features:
        """The scaled scalars of all fields, grouped by axes; sides without units that permute are channels."""
        units, edges = self.graph.read(rows, self.scales)
        found: dict[Axes, list[Tensor]] = {}
        for i, unit in enumerate(units):
            if unit.shape[2]:
                axes = self._free(i)
                found.setdefault(axes, []).append(unit if axes else unit.flatten(1))
        for block, edge in zip(self.graph.blocks, edges, strict=True):
            found.setdefault(self._free(block.source, block.target), []).append(self._arranged(block, edge))
        return {axes: torch.cat(values, dim=-1) for axes, values in found.items()}

    def _arranged(self, block: Block, edge: Float[Tensor, "B R S T"]) -> Float[Tensor, "B *axes C"]:
        """A block's readings with hidden layers as axes, in ascending order, and the rest as channels."""
        ends = ((block.source, 2), (block.target, 3))
        free = sorted((layer, axis) for layer, axis in ends if self.graph.layers[layer].role == "hidden")
        fixed = [axis for layer, axis in ends if self.graph.layers[layer].role != "hidden"]
        return edge.permute(0, *(axis for _, axis in free), 1, *fixed).flatten(1 + len(free))


def _name(target: Axes, kept: Axes) -> str:
    return f"{'-'.join(map(str, target))}|{'-'.join(map(str, kept))}"
