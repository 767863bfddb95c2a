"""Actions of a field's symmetry group on its parameters, which change the weights but not the function.

An element holds, for each field of a batch, a permutation of every hidden layer, a sign for every unit of
every declared flip, and an integer number of periods for every unit of every declared phase shift.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nefstudy.fields.field import NeuralField, Params, flatten, unflatten
from nefstudy.fields.symmetry import Slot, Symmetry


@dataclass(frozen=True, eq=False)
class Element:
    """One element of the symmetry group for each of F fields.

    Attributes:
        orders: by hidden layer, [F, units]; unit u of the result is unit orders[:, u] of the original.
        signs: one [F, units] of +1 and -1 for each declared flip.
        turns: one [F, units] of integers for each declared phase shift.
    """

    orders: Mapping[int, Int[Tensor, "F n"]]
    signs: tuple[Float[Tensor, "F n"], ...]
    turns: tuple[Int[Tensor, "F n"], ...]


def random_element(
    field: NeuralField,
    count: int,
    *,
    rng: np.random.Generator,
    permute: bool = True,
    flip: bool = True,
    turn: bool = True,
) -> Element:
    """Return a random element for each of `count` fields: uniform permutations and signs, shifts of -2 to 2 periods."""
    symmetry = field.symmetry
    sizes = {i: node.size for i, node in enumerate(symmetry.nodes) if node.role == "hidden"}
    orders = {i: torch.from_numpy(rng.random((count, n)).argsort(axis=1)) for i, n in sizes.items()}
    signs = (rng.integers(0, 2, (count, sizes[f.layer])) * 2.0 - 1.0 for f in symmetry.flips)
    turns = (rng.integers(-2, 3, (count, sizes[p.layer])) for p in symmetry.phase_shifts)
    return Element(
        orders if permute else {},
        tuple(torch.from_numpy(s) if flip else torch.ones(s.shape) for s in signs),
        tuple(torch.from_numpy(t if turn else np.zeros_like(t)) for t in turns),
    )


def act(field: NeuralField, rows: Float[Tensor, "F N"], element: Element) -> Float[Tensor, "F N"]:
    """Return the flat rows transformed by an element: flips first, then phase shifts, then permutations."""
    symmetry = field.symmetry
    params = {name: value.clone() for name, value in unflatten(field, rows).items()}
    for flip, signs in zip(symmetry.flips, element.signs, strict=True):
        for slot in flip.slots:
            multiply(params, symmetry, slot, layer=flip.layer, factors=signs.to(rows))
    for phase, turns in zip(symmetry.phase_shifts, element.turns, strict=True):
        shifted = view(params, phase.shifted)
        shifted += turns.to(rows) * phase.period
        for slot in phase.flipped:
            multiply(params, symmetry, slot, layer=phase.layer, factors=1.0 - 2.0 * (turns % 2).to(rows))
    for layer, order in element.orders.items():
        permute_layer(params, symmetry, layer, order=order.to(rows.device))
    return flatten(field, params)


def view(params: Params, slot: Slot) -> Tensor:
    """Return the values of a slot as a view of shape [F, units] or [F, source units, target units]."""
    value = params[slot.parameter]
    return value if slot.rows is None else value[:, slot.rows[0] : slot.rows[1]]


def multiply(params: Params, symmetry: Symmetry, slot: Slot, *, layer: int, factors: Float[Tensor, "F n"]) -> None:
    """Multiply a slot's values in place by one factor per unit of `layer`."""
    _change(params, symmetry, slot, layer, lambda value, axis: value * _along(factors, value, axis))


def permute_layer(params: Params, symmetry: Symmetry, layer: int, *, order: Int[Tensor, "F n"]) -> None:
    """Reorder the units of a layer in place, in every parameter that has an axis over these units."""
    attached = list(symmetry.nodes[layer].slots)
    attached += [slot for edge in symmetry.edges if layer in (edge.source, edge.target) for slot in edge.slots]
    for slot in attached:
        _change(
            params,
            symmetry,
            slot,
            layer,
            lambda value, axis: value.gather(axis, _along(order, value, axis).expand_as(value)),
        )


def _change(
    params: Params, symmetry: Symmetry, slot: Slot, layer: int, change: Callable[[Tensor, int], Tensor]
) -> None:
    value = view(params, slot)
    value.copy_(change(value, _axis(symmetry, slot, layer)))


def _axis(symmetry: Symmetry, slot: Slot, layer: int) -> int:
    """Return the axis of a slot that indexes the units of `layer`: 2 if they are a matrix's columns, otherwise 1."""
    return 2 if any(edge.target == layer and slot in edge.slots for edge in symmetry.edges) else 1


def _along(units: Tensor, value: Tensor, axis: int) -> Tensor:
    """Reshape [F, units] so that it broadcasts along one axis of [F, ...]."""
    return units if value.ndim == 2 else units.unsqueeze(3 - axis)


def warp(
    field: NeuralField, rows: Float[Tensor, "F N"], *, matrix: Float[Tensor, "F D D"], offset: Float[Tensor, "F D"]
) -> Float[Tensor, "F N"]:
    """Return the flat rows of the fields x -> f(matrix @ x + offset), for the field f of each given row."""
    params = {name: value.clone() for name, value in unflatten(field, rows).items()}
    for entry in field.symmetry.entries:
        weights = view(params, entry.weights)
        moved = (offset.unsqueeze(1) @ weights).squeeze(1)
        weights.copy_(matrix.mT @ weights)
        if entry.added is not None:
            shifted = view(params, entry.added)
            shifted += moved
        if entry.turned is not None:
            sine, cosine = (view(params, slot) for slot in entry.turned)
            angle = (entry.scale * moved).unsqueeze(2)
            cos, sin = angle.cos(), angle.sin()
            turned = sine * cos - cosine * sin, sine * sin + cosine * cos
            sine.copy_(turned[0])
            cosine.copy_(turned[1])
    return flatten(field, params)
