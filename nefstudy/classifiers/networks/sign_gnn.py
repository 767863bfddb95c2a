"""`gnn-sign`: message passing that is invariant to permutations, sign flips and phase shifts of units.

A unit with g generators of sign changes is represented by its 2^g signed copies: its state is a function on the
group {0, .., 2^g - 1}, [units, copies, channels], and a generator only permutes copies. So any network applied to each
copy separately is equivariant, and the mean over copies is invariant. A weight that takes the sign
chi(e) = (-1)^popcount(mask & e) is multiplied with that character of the state only: messages are
sum_s w_st * mean_e chi_source(e) h_s(e), one matrix product per block and no state per edge; they reach the target's
copies with the sign chi_target(e). Squared weights, which have no sign, are multiplied with the mean over copies.

Sweeps run forward through the graph and back, so after two sweeps every unit depends on every weight.
Letters: B fields, S and T source and target units, G copies, C channels, R input features.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nefstudy.classifiers.networks.graph import Layer, LayerEdges, WeightGraph, weight_graph
from nefstudy.classifiers.networks.graph_network import GraphNetwork
from nefstudy.classifiers.networks.norm import BatchNorm
from nefstudy.fields.field import NeuralField
from nefstudy.fields.hyperparameter import check, hyperparameter


@dataclass(frozen=True)
class GnnSign:
    """Message passing on the units of a field, invariant to the sign flips and phase shifts that the field declares.

    Attributes:
        width: channels of a unit's state.
        sweeps: number of passes forward through the graph and back.
        pooled: pooled features of each layer.
        dropout: dropout rate of the pooled features in training.
        phases: whether it is invariant to phases too. Without phases it is twice as fast; short fits, which do not move
            a bias by a period, do not need them.
    """

    width: int = hyperparameter(32, low=1, high=4096)
    sweeps: int = hyperparameter(1, low=1, high=64)
    pooled: int = hyperparameter(64, low=1, high=4096)
    dropout: float = hyperparameter(0.0, low=0.0, high=0.99)
    phases: bool = True

    def __post_init__(self) -> None:
        check(self)

    def build(self, field: NeuralField, classes: int, *, centered: bool = False) -> "SignGnnNetwork":
        """Return an untrained network for rows of this field."""
        return SignGnnNetwork(self, weight_graph(field, phases=self.phases, centered=centered), classes)


@dataclass(frozen=True)
class GnnThin:
    """Message passing without a state per edge, like `GnnSign`, but invariant to permutations only."""

    width: int = hyperparameter(32, low=1, high=4096)
    sweeps: int = hyperparameter(1, low=1, high=64)
    pooled: int = hyperparameter(64, low=1, high=4096)
    dropout: float = hyperparameter(0.0, low=0.0, high=0.99)

    def __post_init__(self) -> None:
        check(self)

    def build(self, field: NeuralField, classes: int, *, centered: bool = False) -> "SignGnnNetwork":
        """Return an untrained network for rows of this field."""
        return SignGnnNetwork(self, weight_graph(field, signs=False, centered=centered), classes)


def characters(generators: int) -> Float[Tensor, "G G"]:
    """Return the group's character table, in which entry [mask, e] is the sign (-1)^popcount(mask & e)."""
    order = range(1 << generators)
    return torch.tensor([[1.0 - 2.0 * ((mask & e).bit_count() % 2) for e in order] for mask in order])


class Messages(nn.Module):
    """The messages to one layer over one block, along or against the block's direction, before the nonlinearity.

    Each input feature gives two messages: its values times the matching character of the sender's states, and its
    squares times the mean of these states.
    """

    def __init__(self, block: LayerEdges, layers: tuple[Layer, ...], *, width: int, reverse: bool) -> None:
        super().__init__()
        self.reverse = reverse
        sender_layer, receiver_layer = (block.target, block.source) if reverse else (block.source, block.target)
        pairs = [(r.target, r.source) if reverse else (r.source, r.target) for r in block.features]
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
        """Return the messages to the receiving layer's units and copies."""
        weights = edges.mT if self.reverse else edges
        sent = torch.einsum("bngc,rg->brnc", states, self.project)
        signed = (weights.mT @ sent[:, :-1]) * self.scale @ self.mix
        squares: Tensor = (weights.square().mT @ sent[:, -1:]) * self.scale @ self.mix_squares
        lifted: Tensor = torch.einsum("brnc,rg->bngc", signed, self.lift)
        messages: Tensor = lifted + squares.sum(dim=1).unsqueeze(2)
        return messages


class Update(nn.Module):
    """The update of a layer's states from features, states and messages, applied to each signed copy separately."""

    def __init__(self, layer: Layer, *, width: int, first: bool) -> None:
        super().__init__()
        self.lift: Tensor
        signs = characters(layer.generators)
        masks = [feature.target for feature in layer.features]
        self.register_buffer("lift", signs[:, masks], persistent=False)
        # `readings`, the weights of the input features, is part of the tensor names in saved files.
        self.readings = nn.Parameter(torch.randn(len(masks), width) * max(len(masks), 1) ** -0.5)
        self.identity = nn.Parameter(torch.randn(1 if layer.role == "hidden" else layer.size, width) * 0.1)
        self.before = None if first else nn.Linear(width, width, bias=False)
        self.after = nn.Linear(width, width)

    def forward(
        self, units: Float[Tensor, "B N R"], states: Float[Tensor, "B N G C"] | None, messages: Float[Tensor, "B N G C"]
    ) -> Float[Tensor, "B N G C"]:
        """Return the updated states."""
        hidden = messages + (units.unsqueeze(2) * self.lift) @ self.readings + self.identity.unsqueeze(1)
        if states is not None and self.before is not None:
            hidden = hidden + self.before(states)
        new: Tensor = self.after(nn.functional.silu(hidden))
        return new if states is None else states + new


class Visit(nn.Module):
    """One layer's update within a sweep, by messages over its incoming blocks or, if `reverse`, its outgoing blocks."""

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
        """Return the layer's new states."""
        senders = zip(self.blocks, self.senders, self.messages, strict=True)
        messages = [message(edges[block], states[sender]) for block, sender, message in senders]
        new: Tensor = self.update(units[self.layer], states[self.layer], torch.stack(messages).sum(dim=0))
        return new


class SignGnnNetwork(GraphNetwork):
    """The network of `GnnSign`: sweeps of message passing, then features of every layer, pooled over its units."""

    def __init__(self, spec: GnnSign | GnnThin, graph: WeightGraph, classes: int) -> None:
        super().__init__(graph)
        width, last = spec.width, len(graph.layers) - 1
        self.inputs = nn.Parameter(torch.randn(graph.layers[0].size, width))
        forward = [(layer, False) for layer in range(1, last + 1)]
        back = [(layer, True) for layer in range(last - 1, 0, -1)]
        self.order = [layer for layer, _ in forward + back] * spec.sweeps
        self.visits = nn.ModuleList(
            Visit(graph, layer, width=width, reverse=reverse, first=sweep == 0 and not reverse)
            for sweep in range(spec.sweeps)
            for layer, reverse in forward + back
        )
        self.pool = nn.ModuleList(nn.Linear(width, spec.pooled) for _ in range(last))
        self.norm = BatchNorm(last * spec.pooled)
        self.dropout = nn.Dropout(spec.dropout)
        self.hidden = nn.Linear(last * spec.pooled, spec.pooled)
        self.head = nn.Linear(spec.pooled, classes)

    def states(self, rows: Float[Tensor, "B P"]) -> list[Float[Tensor, "B _ _ C"]]:
        """Return the states of all copies of all units after all sweeps, layer by layer."""
        units, edges = self.extract(rows)
        states: list[Tensor | None] = [None] * len(self.graph.layers)
        states[0] = self.inputs.unsqueeze(1).expand(len(rows), -1, -1, -1)
        for layer, visit in zip(self.order, self.visits, strict=True):
            states[layer] = visit(units, edges, states)
        return [state for state in states if state is not None]

    def embed(self, rows: Float[Tensor, "B P"]) -> Float[Tensor, "B E"]:
        """Return features pooled over units and copies, batch-normalized and passed through one layer."""
        pooled = [
            nn.functional.silu(pool(state)).mean(dim=(1, 2))
            for pool, state in zip(self.pool, self.states(rows)[1:], strict=True)
        ]
        return nn.functional.silu(self.hidden(self.dropout(self.norm(torch.cat(pooled, dim=1)))))
