"""A field's parameters as a graph of scalars, each with the signs it takes under the field's flips.

A hidden layer with g generators of sign changes (flips and phases) has the group {0, .., 2^g - 1} of
bit masks under exclusive or. A *reading* is one scalar per unit or per edge; its `mask` says which
generators negate it, so under the group element e it is multiplied by (-1)^popcount(mask & e). A slot
that a phase shifts is read twice, as the sine and the cosine of pi * value / period: both are unchanged
by whole periods but for that sign.
"""

from dataclasses import dataclass
from math import pi
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from nefstudy.errors import BadConfig
from nefstudy.fields.field import NeuralField, Params, unflatten
from nefstudy.fields.symmetry import Phase, Slot, Symmetry

Wave = Literal["value", "sine", "cosine"]


@dataclass(frozen=True)
class Reading:
    """One scalar per unit or per edge.

    Attributes:
        wave, period: what is read of the slot: its value, or the sine or cosine of pi * value / period.
        source: mask at the layer an edge leaves (0 for units).
        target: mask at the layer an edge enters, or at the unit's own layer.
    """

    slot: Slot
    source: int = 0
    target: int = 0
    wave: Wave = "value"
    period: float = 1.0

    def read(self, params: Params) -> Tensor:
        """The scalars of F fields: [F, units], or [F, source units, target units]."""
        value = params[self.slot.parameter]
        if self.slot.rows is not None:
            value = value[:, self.slot.rows[0] : self.slot.rows[1]]
        if self.wave == "value":
            return value
        turned = value * (pi / self.period)
        return turned.sin() if self.wave == "sine" else turned.cos()


@dataclass(frozen=True)
class Layer:
    """One layer of units: its readings, and how many generators change their signs."""

    name: str
    size: int
    role: Literal["input", "hidden", "output"]
    generators: int
    readings: tuple[Reading, ...]


@dataclass(frozen=True)
class Block:
    """All edges from one layer to another."""

    source: int
    target: int
    readings: tuple[Reading, ...]


@dataclass(frozen=True)
class WeightGraph:
    """Layers and blocks of one field, every parameter in it exactly once."""

    field: NeuralField
    layers: tuple[Layer, ...]
    blocks: tuple[Block, ...]

    @property
    def readings(self) -> tuple[Reading, ...]:
        """Every reading, those of layers first."""
        of_layers = (reading for layer in self.layers for reading in layer.readings)
        return (*of_layers, *(reading for block in self.blocks for reading in block.readings))

    def scales(self, rows: Float[Tensor, "F N"]) -> Float[Tensor, " R"]:
        """Root mean square of each reading over fields and units; 1 where a reading is all zero."""
        params = unflatten(self.field, rows)
        found = torch.stack([reading.read(params).double().square().mean().sqrt() for reading in self.readings])
        return torch.where(found > 1e-12, found, torch.ones_like(found)).to(rows.dtype)

    def read(
        self, rows: Float[Tensor, "F N"], scales: Float[Tensor, " R"]
    ) -> tuple[list[Float[Tensor, "F _ _"]], list[Float[Tensor, "F _ _ _"]]]:
        """Scaled readings of each layer, [F, units, readings], and of each block, [F, readings, source, target]."""
        params = unflatten(self.field, rows)
        values = iter([reading.read(params) / scale for reading, scale in zip(self.readings, scales, strict=True)])
        units = [
            torch.stack([next(values) for _ in layer.readings], dim=2)
            if layer.readings
            else rows.new_zeros(len(rows), layer.size, 0)
            for layer in self.layers
        ]
        edges = [torch.stack([next(values) for _ in block.readings], dim=1) for block in self.blocks]
        return units, edges


def weight_graph(field: NeuralField, *, signs: bool = True, phases: bool = True) -> WeightGraph:
    """The graph of a field, generated from its declared symmetry.

    Args:
        signs: keep flips and phases; False reads every slot by value, which leaves permutations only.
        phases: keep phases among them; False reads a slot that they shift by value, in half as many copies.
    """
    symmetry = field.symmetry
    generators = [_generators(symmetry, layer, phases=phases) if signs else () for layer in range(len(symmetry.nodes))]
    layers = tuple(
        Layer(
            node.name,
            node.size,
            node.role,
            len(generators[index]),
            tuple(reading for slot in node.slots for reading in _unit_readings(slot, generators[index])),
        )
        for index, node in enumerate(symmetry.nodes)
    )
    blocks = tuple(
        Block(
            edge.source,
            edge.target,
            tuple(
                Reading(slot, _mask(slot, generators[edge.source]), _mask(slot, generators[edge.target]))
                for slot in edge.slots
            ),
        )
        for edge in symmetry.edges
    )
    return WeightGraph(field, layers, blocks)


Generator = tuple[tuple[Slot, ...], Phase | None]


def _generators(symmetry: Symmetry, layer: int, *, phases: bool) -> tuple[Generator, ...]:
    flips: list[Generator] = [(flip.slots, None) for flip in symmetry.flips if flip.layer == layer]
    return (*flips, *((phase.flipped, phase) for phase in symmetry.phases if phase.layer == layer and phases))


def _mask(slot: Slot, generators: tuple[Generator, ...]) -> int:
    return sum(1 << bit for bit, (slots, _) in enumerate(generators) if slot in slots)


def _unit_readings(slot: Slot, generators: tuple[Generator, ...]) -> tuple[Reading, ...]:
    flipped = _mask(slot, generators)
    shifts = [(1 << bit, phase) for bit, (_, phase) in enumerate(generators) if phase and phase.shifted == slot]
    if not shifts:
        return (Reading(slot, 0, flipped),)
    if len(shifts) > 1:
        raise BadConfig(f"slot {slot.parameter} is shifted by {len(shifts)} phases; declare one phase a slot")
    bit, phase = shifts[0]
    return (
        Reading(slot, 0, flipped ^ bit, "sine", phase.period),
        Reading(slot, 0, bit, "cosine", phase.period),
    )
