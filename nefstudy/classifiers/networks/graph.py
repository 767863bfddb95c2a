"""A field's parameters as a graph of scalars, each with the sign changes that the field's flips cause.

A hidden layer with g generators of sign changes (flips and phases) has the group {0, .., 2^g - 1} of
bit masks under exclusive or. An *input feature* is one scalar per unit or per edge. The bits of its mask are the
generators that negate it: the group element e multiplies it by (-1)^popcount(mask & e). A slot that a phase shifts
gives two features, the sine and the cosine of pi * value / period; whole periods change neither, up to that sign.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import pi
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from nefstudy.errors import BadConfig
from nefstudy.fields.field import NeuralField, Params, parameter_count, unflatten
from nefstudy.fields.symmetry import PhaseShift, Slot, Symmetry

Encoding = Literal["value", "sine", "cosine"]

LIMIT = 100.0
"""Limit of a centered feature in multiples of its root mean square over the training fields."""


@dataclass(frozen=True)
class InputFeature:
    """An input feature: one scalar per unit or per edge.

    Attributes:
        encoding, period: the value of the slot, or the sine or cosine of pi * value / period.
        source: mask at the layer an edge leaves (0 for units).
        target: mask at the layer an edge enters, or at the unit's own layer.
        centered: subtract the feature's value in the mean of the training rows.
    """

    slot: Slot
    source: int = 0
    target: int = 0
    encoding: Encoding = "value"
    period: float = 1.0
    centered: bool = False

    def extract(self, params: Params, mean: Params) -> Tensor:
        """Return the scalars of F fields: [F, units], or [F, source units, target units]."""
        return self._encoded(params) - self._encoded(mean) if self.centered else self._encoded(params)

    def _encoded(self, params: Params) -> Tensor:
        value = params[self.slot.parameter]
        if self.slot.rows is not None:
            value = value[:, self.slot.rows[0] : self.slot.rows[1]]
        if self.encoding == "value":
            return value
        angle = value * (pi / self.period)
        return angle.sin() if self.encoding == "sine" else angle.cos()


@dataclass(frozen=True)
class Layer:
    """One layer of units: its input features, and the number of generators that change the features' signs."""

    name: str
    size: int
    role: Literal["input", "hidden", "output"]
    generators: int
    features: tuple[InputFeature, ...]


@dataclass(frozen=True)
class LayerEdges:
    """All edges from one layer to another."""

    source: int
    target: int
    features: tuple[InputFeature, ...]


@dataclass(frozen=True)
class WeightGraph:
    """The graph of one field: layers of units and blocks of edges, which together contain every parameter once."""

    field: NeuralField
    layers: tuple[Layer, ...]
    blocks: tuple[LayerEdges, ...]

    @property
    def features(self) -> tuple[InputFeature, ...]:
        """Every input feature; the features of layers come first."""
        of_layers = (feature for layer in self.layers for feature in layer.features)
        return (*of_layers, *(feature for block in self.blocks for feature in block.features))

    @property
    def centered(self) -> bool:
        """Whether features are centered, so that extracting them takes the mean of the training rows."""
        return any(feature.centered for feature in self.features)

    @property
    def parameters(self) -> int:
        """The number of parameters of the field."""
        return parameter_count(self.field)

    def _values(self, rows: Float[Tensor, "F N"], mean: Float[Tensor, "M N"] | None) -> list[Tensor]:
        params, means = unflatten(self.field, rows), {} if mean is None else unflatten(self.field, mean)
        return [feature.extract(params, means) for feature in self.features]

    def scales(self, rows: Float[Tensor, "F N"], mean: Float[Tensor, "M N"] | None = None) -> Float[Tensor, " R"]:
        """Return the root mean square of each feature over fields and units, or 1 for a feature that is all zero."""
        sizes = torch.stack([value.double().square().mean().sqrt() for value in self._values(rows, mean)])
        return torch.where(sizes > 1e-12, sizes, torch.ones_like(sizes)).to(rows.dtype)

    def extract(
        self, rows: Float[Tensor, "F N"], scales: Float[Tensor, " R"], mean: Float[Tensor, "M N"] | None = None
    ) -> tuple[list[Float[Tensor, "F _ _"]], list[Float[Tensor, "F _ _ _"]]]:
        """Return the scaled features of layers, [F, units, features], and blocks, [F, features, source, target].

        Args:
            mean: the mean of the training rows, one row for all fields or one per field; centered features need it.
                Centered features are limited to ±LIMIT, so that a field far from the training fields does not overflow.
        """
        scaled = [value / scale for value, scale in zip(self._values(rows, mean), scales, strict=True)]
        values = iter([v.clamp(-LIMIT, LIMIT) if f.centered else v for f, v in zip(self.features, scaled, strict=True)])
        units = [
            torch.stack([next(values) for _ in layer.features], dim=2)
            if layer.features
            else rows.new_zeros(len(rows), layer.size, 0)
            for layer in self.layers
        ]
        edges = [torch.stack([next(values) for _ in block.features], dim=1) for block in self.blocks]
        return units, edges


def weight_graph(field: NeuralField, *, signs: bool = True, phases: bool = True, centered: bool = False) -> WeightGraph:
    """Return the graph of a field, generated from its declared symmetry.

    Args:
        signs: represent flips and phases; False takes every slot by value, which leaves permutations only.
        phases: represent phases too; False takes the slots that they shift by value, which halves the copies.
        centered: add a centered feature for each feature; it takes the same signs if the mean is moved with the field.
    """
    symmetry = field.symmetry
    generators = [_generators(symmetry, layer, phases=phases) if signs else () for layer in range(len(symmetry.nodes))]
    layers = tuple(
        Layer(
            node.name,
            node.size,
            node.role,
            len(generators[index]),
            _with_centered(
                (feature for slot in node.slots for feature in _unit_features(slot, generators[index])), centered
            ),
        )
        for index, node in enumerate(symmetry.nodes)
    )
    blocks = tuple(
        LayerEdges(
            edge.source,
            edge.target,
            _with_centered(
                (
                    InputFeature(slot, _mask(slot, generators[edge.source]), _mask(slot, generators[edge.target]))
                    for slot in edge.slots
                ),
                centered,
            ),
        )
        for edge in symmetry.edges
    )
    return WeightGraph(field, layers, blocks)


def _with_centered(features: Iterable[InputFeature], centered: bool) -> tuple[InputFeature, ...]:
    plain = tuple(features)
    return (*plain, *(replace(feature, centered=True) for feature in plain)) if centered else plain


Generator = tuple[tuple[Slot, ...], PhaseShift | None]


def _generators(symmetry: Symmetry, layer: int, *, phases: bool) -> tuple[Generator, ...]:
    flips: list[Generator] = [(flip.slots, None) for flip in symmetry.flips if flip.layer == layer]
    return (*flips, *((phase.flipped, phase) for phase in symmetry.phase_shifts if phase.layer == layer and phases))


def _mask(slot: Slot, generators: tuple[Generator, ...]) -> int:
    return sum(1 << bit for bit, (slots, _) in enumerate(generators) if slot in slots)


def _unit_features(slot: Slot, generators: tuple[Generator, ...]) -> tuple[InputFeature, ...]:
    flipped = _mask(slot, generators)
    shifts = [(1 << bit, phase) for bit, (_, phase) in enumerate(generators) if phase and phase.shifted == slot]
    if not shifts:
        return (InputFeature(slot, 0, flipped),)
    if len(shifts) > 1:
        raise BadConfig(f"slot {slot.parameter} is shifted by {len(shifts)} phases; declare one phase per slot")
    bit, phase = shifts[0]
    return (
        InputFeature(slot, 0, flipped ^ bit, "sine", phase.period),
        InputFeature(slot, 0, bit, "cosine", phase.period),
    )
