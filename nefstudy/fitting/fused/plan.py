"""What a kernel is made for: a field's blocks, and the tile and warps that its size calls for."""

from dataclasses import dataclass
from math import pi

from nefstudy.fields.field import NeuralField
from nefstudy.fields.mfn import Mfn
from nefstudy.fields.rffnet import RffNet
from nefstudy.fields.siren import Siren
from nefstudy.fitting.fused.blocks import Block, blocks_of, held

PRECISION = "tf32x3"  # products split in three, as accurate as float32's (tests/fitting/test_split_products.py)
MOST_HIDDEN = 64
MOST_CHANNELS = 4


@dataclass(frozen=True)
class Plan:
    """A kernel's constants.

    Attributes:
        depth: matrices of hidden by hidden units, RFFNet's first two halves left out.
        tile: points computed together.
        warps: of 32 threads, that share a field.
    """

    kind: str
    blocks: tuple[Block, ...]
    depth: int
    tile: int
    warps: int


def plan_of(field: NeuralField) -> Plan:
    """The plan of a field that `misfit` has nothing against."""
    kind, depth, hidden = _shape(field)
    tile, warps = (32, 8) if held(hidden) > 32 else (64, 4)
    return Plan(kind, blocks_of(field), depth, tile, warps)


def factor_of(field: NeuralField) -> float:
    """What multiplies a field's scaled blocks before they are used; an input, so that no value compiles anew."""
    if isinstance(field, Siren):
        return field.omega_0
    return 2 * pi * field.std if isinstance(field, RffNet) else 1.0


def misfit(field: NeuralField) -> str | None:
    """Why no kernel holds a field, or None if one does."""
    if not isinstance(field, Siren | RffNet | Mfn):
        return f"there is no kernel for {type(field).__name__}, only for Siren, RffNet and Mfn"
    if field.hidden > MOST_HIDDEN:
        return f"hidden = {field.hidden}: a field's state fits a processor's registers up to {MOST_HIDDEN} units"
    if field.out_dim > MOST_CHANNELS:
        return f"out_dim = {field.out_dim}: the kernel writes out up to {MOST_CHANNELS} channels"
    _, depth, _ = _shape(field)
    if depth < 0:
        return f"layers = {field.layers}: the kernel needs at least 2" if isinstance(field, RffNet) else None
    return None


def _shape(field: NeuralField) -> tuple[str, int, int]:
    """(kind, depth, hidden)."""
    if isinstance(field, Siren):
        return "siren", field.layers - 2, field.hidden
    if isinstance(field, RffNet):
        return "rffnet", field.layers - 2, field.hidden
    assert isinstance(field, Mfn)
    return "mfn", field.filters - 1, field.hidden
