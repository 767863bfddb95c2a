"""`gnn-sign`: message passing that is invariant to permutations, sign flips and phase shifts of units.

A unit with g generators of sign changes is represented by its 2^g signed copies: its state is a function on the
group {0, .., 2^g - 1}, [copies, units, channels], and a generator only permutes copies. So any network applied to each
copy separately is equivariant, and the mean over copies is invariant. A weight that takes the sign
chi(e) = (-1)^popcount(mask & e) is multiplied with that character of the state only: messages are
sum_s w_st * mean_e chi_source(e) h_s(e), without a state per edge; they reach the target's copies with the sign
chi_target(e). Squared weights, which have no sign, are multiplied with the mean over copies. Copies are the first
dimension, so that going to characters and back is one product with a matrix of signs for all fields and units.

Sweeps run forward through the graph and back, so after two sweeps every unit depends on every weight.
Letters: B fields, S and T source and target units, G copies, C channels, R input features,
K signed inputs of an update: messages, features and a constant, each with the character it is multiplied by.
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
    squares times the mean of these states. `masks` are the characters by which they reach the receiver's copies.
    """

    def __init__(self, block: LayerEdges, layers: tuple[Layer, ...], *, width: int, reverse: bool) -> None:
        super().__init__()
        self.reverse = reverse
        ends = (block.target, block.source) if reverse else (block.source, block.target)
        sender, receiver = (layers[index] for index in ends)
        pairs = [(r.target, r.source) if reverse else (r.source, r.target) for r in block.features]
        unsigned = [0] * len(pairs)
        self.masks = [receive for _, receive in pairs] + unsigned
        signs = characters(sender.generators)
        self.project: Tensor
        self.register_buffer("project", signs[[send for send, _ in pairs] + unsigned] / len(signs), persistent=False)
        self.scale = sender.size**-0.5
        self.mix_first = sender.size <= receiver.size
        self.mix = nn.Parameter(torch.randn(len(pairs), width, width) * width**-0.5)
        self.mix_squares = nn.Parameter(torch.randn(len(pairs), width, width) * (width**-0.5 * self.scale))

    def forward(self, edges: Float[Tensor, "K B S T"], states: Float[Tensor, "G B N C"]) -> Float[Tensor, "K B M C"]:
        """Return the messages to the receiving layer's units, one for each edge value and each of its squares."""
        weights = edges if self.reverse else edges.mT
        mix = torch.cat([self.mix, self.mix_squares]) * self.scale
        sent = (self.project @ states.flatten(1)).view(len(mix), -1, states.shape[3])
        if self.mix_first:
            sent = sent @ mix
        messages: Tensor = weights @ sent.view(len(mix), *states.shape[1:])
        return messages if self.mix_first else (messages.flatten(1, 2) @ mix).view_as(messages)


class Update(nn.Module):
    """The update of a layer's states from features, states and messages, applied to each signed copy separately."""

    def __init__(self, layer: Layer, masks: list[int], *, width: int, first: bool) -> None:
        super().__init__()
        own = [feature.target for feature in layer.features]
        self.lift: Tensor
        self.register_buffer("lift", characters(layer.generators)[:, [*masks, *own, 0]], persistent=False)
        # `readings`, the weights of the input features, is part of the tensor names in saved files.
        self.readings = nn.Parameter(torch.randn(len(own), width) * max(len(own), 1) ** -0.5)
        self.identity = nn.Parameter(torch.randn(1 if layer.role == "hidden" else layer.size, width) * 0.1)
        self.before = None if first else nn.Linear(width, width, bias=False)
        self.after = nn.Linear(width, width)

    def forward(
        self,
        units: Float[Tensor, "R B N"],
        states: Float[Tensor, "G B N C"] | None,
        messages: list[Float[Tensor, "_ B N C"]],
    ) -> Float[Tensor, "G B N C"]:
        """Return the updated states."""
        own = units.unsqueeze(3) * self.readings[:, None, None]
        signed = torch.cat([*messages, own, self.identity.expand(1, *messages[0].shape[1:])])
        hidden = (self.lift @ signed.flatten(1)).view(-1, signed.shape[3])
        if states is not None and self.before is not None:
            hidden = torch.addmm(hidden, states.flatten(0, 2), self.before.weight.mT)
        new: Tensor = self.after(nn.functional.silu(hidden))
        if states is not None:
            new += states.flatten(0, 2)
        return new.view(-1, *signed.shape[1:])


class Visit(nn.Module):
    """One layer's update within a sweep, by messages over its incoming blocks or, if `reverse`, its outgoing blocks."""

    def __init__(self, graph: WeightGraph, layer: int, *, width: int, reverse: bool, first: bool) -> None:
        super().__init__()
        self.layer = layer
        self.blocks = [i for i, b in enumerate(graph.blocks) if layer == (b.source if reverse else b.target)]
        self.senders = [graph.blocks[i].target if reverse else graph.blocks[i].source for i in self.blocks]
        messages = [Messages(graph.blocks[i], graph.layers, width=width, reverse=reverse) for i in self.blocks]
        masks = [mask for message in messages for mask in message.masks]
        self.messages = nn.ModuleList(messages)
        self.update = Update(graph.layers[layer], masks, width=width, first=first)

    def forward(self, units: list[Tensor], edges: list[Tensor], states: list[Tensor | None]) -> Tensor:
        """Return the layer's new states."""
        senders = zip(self.blocks, self.senders, self.messages, strict=True)
        messages = [message(edges[block], states[sender]) for block, sender, message in senders]
        new: Tensor = self.update(units[self.layer], states[self.layer], messages)
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

    def states(self, rows: Float[Tensor, "B P"]) -> list[Float[Tensor, "_ B _ C"]]:
        """Return the states of all copies of all units after all sweeps, layer by layer."""
        features, weights = self.extract(rows)
        units = [layer.permute(2, 0, 1) for layer in features]
        edges = [torch.cat([block, block.square()], dim=1).transpose(0, 1).contiguous() for block in weights]
        states: list[Tensor | None] = [None] * len(self.graph.layers)
        states[0] = self.inputs.expand(1, len(rows), -1, -1)
        for layer, visit in zip(self.order, self.visits, strict=True):
            states[layer] = visit(units, edges, states)
        return [state for state in states if state is not None]

    def embed(self, rows: Float[Tensor, "B P"]) -> Float[Tensor, "B E"]:
        """Return features pooled over units and copies, batch-normalized and passed through one layer."""
        pooled = [
            nn.functional.silu(pool(state)).sum(dim=2).sum(dim=0) / (state.shape[0] * state.shape[2])
            for pool, state in zip(self.pool, self.states(rows)[1:], strict=True)
        ]
        return nn.functional.silu(self.hidden(self.dropout(self.norm(torch.cat(pooled, dim=1)))))
