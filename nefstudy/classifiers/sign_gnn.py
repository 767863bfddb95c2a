"""`gnn-sign`: message passing that no permutation, sign flip or phase shift of units can change.

A unit with g generators of sign changes is held as its 2^g signed copies: its state is a function on the
group {0, .., 2^g - 1}, [units, copies, channels], and a generator only exchanges copies. So any network
applied to each copy alone is equivariant, and the mean over copies is invariant. A weight that takes the
sign chi(e) = (-1)^popcount(mask & e) meets only that character of the state: messages are
sum_s w_st * mean_e chi_source(e) h_s(e), one matrix product a block, no state per edge; they are given
back to the target's copies with the sign chi_target(e). Squared weights, which have no sign,
carry the mean over copies.

Sweeps run along the graph and back, so two sweeps let every unit hear of every weight.
Letters: B fields, S and T source and target units, G copies, C channels, R readings.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nefstudy.classifiers.classifier import WeightReader
from nefstudy.classifiers.graph import Block, Layer, WeightGraph, weight_graph
from nefstudy.classifiers.norm import BatchNorm
from nefstudy.fields.field import NeuralField
from nefstudy.fields.hyperparameter import check, hyperparameter


@dataclass(frozen=True)
class GnnSign:
    """Message passing on the units of a field, exact in its declared signs and phases.

    Attributes:
        width: channels of a unit's state.
        sweeps: passes along the graph and back.
        pooled: features kept of each layer.
        dropout: of the pooled features, in training.
        phases: also exact in phases; without them twice as fast, where fits are too short to move a bias by one.
    """

    width: int = hyperparameter(32, low=1, high=4096)
    sweeps: int = hyperparameter(1, low=1, high=64)
    pooled: int = hyperparameter(64, low=1, high=4096)
    dropout: float = hyperparameter(0.0, low=0.0, high=0.99)
    phases: bool = True

    def __post_init__(self) -> None:
        check(self)

    def build(self, field: NeuralField, classes: int) -> "SignGnn":
        """A fresh reader of this field's rows."""
        return SignGnn(self, weight_graph(field, phases=self.phases), classes)


@dataclass(frozen=True)
class GnnThin:
    """The same thin message passing under permutations alone: signs and phases are not known to it."""

    width: int = hyperparameter(32, low=1, high=4096)
    sweeps: int = hyperparameter(1, low=1, high=64)
    pooled: int = hyperparameter(64, low=1, high=4096)
    dropout: float = hyperparameter(0.0, low=0.0, high=0.99)

    def __post_init__(self) -> None:
        check(self)

    def build(self, field: NeuralField, classes: int) -> "SignGnn":
        """A fresh reader of this field's rows."""
        return SignGnn(self, weight_graph(field, signs=False), classes)


def characters(generators: int) -> Float[Tensor, "G G"]:
    """Entry [mask, e] is the sign (-1)^popcount(mask & e)."""
    order = range(1 << generators)
    return torch.tensor([[1.0 - 2.0 * ((mask & e).bit_count() % 2) for e in order] for mask in order])


class Messages(nn.Module):
    """What one layer hears over one block, forward or against its direction, before its non-linearity.

    Each reading gives two messages: its weights times the matching character of the sender's states, and
    its squares times their mean.
    """

    def __init__(self, block: Block, layers: tuple[Layer, ...], *, width: int, reverse: bool) -> None:
        super().__init__()
        self.reverse = reverse
        sender_layer, receiver_layer = (block.target, block.source) if reverse else (block.source, block.target)
        pairs = [(r.target, r.source) if reverse else (r.source, r.target) for r in block.readings]
        self.masks = [receive for _, receive in pairs]
        sender, receiver = (characters(layers[index].generators) for index in (sender_layer, receiver_layer))
        self.project: Tensor
        self.lift: Tensor
        self.register_buffer(
            "project", torch.stack([sender[m] for m, _ in pairs] + [sender[0]]) / len(sender), persistent=False
        )
        self.register_buffer("lift", torch.stack([receiver[m] for _, m in pairs]), persistent=False)
        self.scale = layers[sender_layer].size ** -0.5
        self.mix = nn.Parameter(torch.randn(len(pairs), width, width) * width**-0.5)
        self.mix_squares = nn.Parameter(torch.randn(len(pairs), width, width) * (width**-0.5 * self.scale))

    def forward(self, edges: Float[Tensor, "B R S T"], states: Float[Tensor, "B N G C"]) -> Float[Tensor, "B M K C"]:
        """Messages to the receiving layer's units and copies."""
        weights = edges.mT if self.reverse else edges
        sent = torch.einsum("bngc,rg->brnc", states, self.project)
        signed = (weights.mT @ sent[:, :-1]) * self.scale @ self.mix
        squares: Tensor = (weights.square().mT @ sent[:, -1:]) * self.scale @ self.mix_squares
        lifted: Tensor = torch.einsum("brnc,rg->bngc", signed, self.lift)
        heard: Tensor = lifted + squares.sum(dim=1).unsqueeze(2)
        return heard


class Update(nn.Module):
    """A layer's new states from its readings, its states and the messages it hears, copy by copy."""

    def __init__(self, layer: Layer, *, width: int, first: bool) -> None:
        super().__init__()
        self.lift: Tensor
        signs = characters(layer.generators)
        masks = [reading.target for reading in layer.readings]
        self.register_buffer("lift", signs[:, masks], persistent=False)
        self.readings = nn.Parameter(torch.randn(len(masks), width) * max(len(masks), 1) ** -0.5)
        self.identity = nn.Parameter(torch.randn(1 if layer.role == "hidden" else layer.size, width) * 0.1)
        self.before = None if first else nn.Linear(width, width, bias=False)
        self.after = nn.Linear(width, width)

    def forward(
        self, units: Float[Tensor, "B N R"], states: Float[Tensor, "B N G C"] | None, heard: Float[Tensor, "B N G C"]
    ) -> Float[Tensor, "B N G C"]:
        """States after this layer has listened."""
        hidden = heard + (units.unsqueeze(2) * self.lift) @ self.readings + self.identity.unsqueeze(1)
        if states is not None and self.before is not None:
            hidden = hidden + self.before(states)
        new: Tensor = self.after(nn.functional.silu(hidden))
        return new if states is None else states + new


class Visit(nn.Module):
    """One layer listens to the blocks into it, or to those out of it in reverse, and takes new states."""

    def __init__(self, graph: WeightGraph, layer: int, *, width: int, reverse: bool, first: bool) -> None:
        super().__init__()
        self.layer = layer
        self.blocks = [i for i, b in enumerate(graph.blocks) if layer == (b.source if reverse else b.target)]
        self.senders = [graph.blocks[i].target if reverse else graph.blocks[i].source for i in self.blocks]
        self.messages = nn.ModuleList(
            Messages(graph.blocks[i], graph.layers, width=width, reverse=reverse) for i in self.blocks
        )
        self.update = Update(graph.layers[layer], width=width, first=first)

    def forward(self, units: list[Tensor], edges: list[Tensor], states: list[Tensor | None]) -> Tensor:
        """The layer's new states."""
        senders = zip(self.blocks, self.senders, self.messages, strict=True)
        heard = [message(edges[block], states[sender]) for block, sender, message in senders]
        new: Tensor = self.update(units[self.layer], states[self.layer], torch.stack(heard).sum(dim=0))
        return new


class SignGnn(WeightReader):
    """The network of `GnnSign`: sweeps of messages, then features of every layer, pooled over its units."""

    def __init__(self, choice: GnnSign | GnnThin, graph: WeightGraph, classes: int) -> None:
        super().__init__()
        self.graph = graph
        width, last = choice.width, len(graph.layers) - 1
        self.scales: Tensor
        self.register_buffer("scales", torch.ones(len(graph.readings)))
        self.inputs = nn.Parameter(torch.randn(graph.layers[0].size, width))
        there = [(layer, False) for layer in range(1, last + 1)]
        back = [(layer, True) for layer in range(last - 1, 0, -1)]
        self.order = [layer for layer, _ in there + back] * choice.sweeps
        self.visits = nn.ModuleList(
            Visit(graph, layer, width=width, reverse=reverse, first=sweep == 0 and not reverse)
            for sweep in range(choice.sweeps)
            for layer, reverse in there + back
        )
        self.pool = nn.ModuleList(nn.Linear(width, choice.pooled) for _ in range(last))
        self.norm = BatchNorm(last * choice.pooled)
        self.dropout = nn.Dropout(choice.dropout)
        self.hidden = nn.Linear(last * choice.pooled, choice.pooled)
        self.head = nn.Linear(choice.pooled, classes)

    def calibrate(self, rows: Float[Tensor, "N P"]) -> None:
        """Measure the root mean square of every reading."""
        self.scales.copy_(self.graph.scales(rows))

    def states(self, rows: Float[Tensor, "B P"]) -> list[Float[Tensor, "B _ _ C"]]:
        """The state of every unit's every copy after all sweeps, layer by layer."""
        units, edges = self.graph.read(rows, self.scales)
        states: list[Tensor | None] = [None] * len(self.graph.layers)
        states[0] = self.inputs.unsqueeze(1).expand(len(rows), -1, -1, -1)
        for layer, visit in zip(self.order, self.visits, strict=True):
            states[layer] = visit(units, edges, states)
        return [state for state in states if state is not None]

    def embed(self, rows: Float[Tensor, "B P"]) -> Float[Tensor, "B E"]:
        """Features pooled over units and copies, normalised over the batch, mixed once."""
        pooled = [
            nn.functional.silu(pool(state)).mean(dim=(1, 2))
            for pool, state in zip(self.pool, self.states(rows)[1:], strict=True)
        ]
        return nn.functional.silu(self.hidden(self.dropout(self.norm(torch.cat(pooled, dim=1)))))

    def forward(self, rows: Float[Tensor, "B P"]) -> Float[Tensor, "B classes"]:
        """Class scores (logits) of each field."""
        scores: Tensor = self.head(self.embed(rows))
        return scores
