"""Declarations of a field's symmetry: its graph of units, and the group that leaves its function unchanged.

The graph: layers of units (nodes) joined by blocks of weights (edges). Every parameter appears exactly
once, as a feature of a node layer or of an edge block; a parameter split in two (the sine and cosine
rows of an RFFNet's first kernel) appears as two slots of one block.

The group: the units of each `hidden` layer permute; `flips` list the independent sign changes of a unit
(which of its slots change sign); `phase_shifts` list the periods that may be added to a slot.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Slot:
    """A parameter, or some rows of a kernel, viewed as one scalar feature per unit or per edge.

    Attributes:
        rows: (start, stop) on the parameter's first axis; None takes all rows.
    """

    parameter: str
    rows: tuple[int, int] | None = None


@dataclass(frozen=True)
class NodeLayer:
    """One layer of units; its slots are parameters with one number per unit, such as biases and phases."""

    name: str
    size: int
    role: Literal["input", "hidden", "output"]
    slots: tuple[Slot, ...] = ()


@dataclass(frozen=True)
class EdgeBlock:
    """All weights from one node layer to another; its slots are matrices of shape (source size, target size)."""

    source: int
    target: int
    slots: tuple[Slot, ...]


@dataclass(frozen=True)
class Flip:
    """A sign that can be flipped for each unit of a hidden layer, by negating the unit's numbers in all of `slots`.

    Slots of incoming edge blocks change sign by column, of outgoing blocks by row, of the layer itself by entry.
    """

    layer: int
    slots: tuple[Slot, ...]


@dataclass(frozen=True)
class PhaseShift:
    """A shift of each unit by k whole periods: `shifted` grows by k * period, `flipped` is multiplied by (-1)^k."""

    layer: int
    shifted: Slot
    period: float
    flipped: tuple[Slot, ...]


@dataclass(frozen=True)
class Entry:
    """A layer through which the coordinates x enter the field, as sines or cosines of scale * (x @ weights).

    A translation of x adds scale * (t @ weights) to every angle. It is absorbed by the slot `added`, divided by
    scale, or, if there is none, by rotating the pair `turned`: the slots that weigh the sine and the cosine.
    """

    weights: Slot
    scale: float = 1.0
    added: Slot | None = None
    turned: tuple[Slot, Slot] | None = None


@dataclass(frozen=True)
class Symmetry:
    """The graph of a field and the generators of its symmetry group (see the module docstring).

    `entries` describe how affine maps of the coordinates act on the parameters; these do change the function.
    """

    nodes: tuple[NodeLayer, ...]
    edges: tuple[EdgeBlock, ...]
    flips: tuple[Flip, ...] = ()
    phase_shifts: tuple[PhaseShift, ...] = ()
    entries: tuple[Entry, ...] = ()
