"""A field's symmetry, declared once: its graph of units, and what may be done to it unnoticed.

The graph: layers of units (nodes) joined by blocks of weights (edges). Every parameter appears exactly
once, as a feature of a node layer or of an edge block; a parameter split in two (the sine and cosine
rows of an RFFNet's first kernel) appears as two slots of one block.

The group: units of each `hidden` layer permute; `flips` list the independent sign changes of a unit
(which of the slots around it change sign); `phases` say what may be added to a slot.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Slot:
    """A parameter, or some rows of its kernel, seen as one scalar feature per unit or per edge.

    Attributes:
        rows: (start, stop) into the parameter's first axis; None takes it whole.
    """

    parameter: str
    rows: tuple[int, int] | None = None


@dataclass(frozen=True)
class NodeLayer:
    """One layer of units. Slots are parameters of shape (size,): biases, phases."""

    name: str
    size: int
    role: Literal["input", "hidden", "output"]
    slots: tuple[Slot, ...] = ()


@dataclass(frozen=True)
class EdgeBlock:
    """All weights from one node layer to another. Slots are (source size, target size) matrices."""

    source: int
    target: int
    slots: tuple[Slot, ...]


@dataclass(frozen=True)
class Flip:
    """A sign each unit of a hidden layer may choose freely: the slots that change sign with it.

    Slots of edge blocks into the layer change by column, of blocks out of it by row, of the layer itself
    by entry.
    """

    layer: int
    slots: tuple[Slot, ...]


@dataclass(frozen=True)
class Phase:
    """A unit may add k * period to `shifted` if `flipped` changes sign by (-1)^k."""

    layer: int
    shifted: Slot
    period: float
    flipped: tuple[Slot, ...]


@dataclass(frozen=True)
class Entry:
    """Where coordinates enter: units see them as the angle scale * (x @ weights), for a sine or a cosine.

    A translation of x adds scale * (t @ weights) to every angle: to the slot `added`, divided by scale, or,
    where there is none, by turning the pair of slots (`sine`, `cosine`) that weigh the two waves.
    """

    weights: Slot
    scale: float = 1.0
    added: Slot | None = None
    turned: tuple[Slot, Slot] | None = None


@dataclass(frozen=True)
class Symmetry:
    """The graph of a field and the generators of its symmetry group (see the module docstring).

    `entries` say how affine maps of the coordinates act; those change the function, in a known way.
    """

    nodes: tuple[NodeLayer, ...]
    edges: tuple[EdgeBlock, ...]
    flips: tuple[Flip, ...] = ()
    phases: tuple[Phase, ...] = ()
    entries: tuple[Entry, ...] = ()
