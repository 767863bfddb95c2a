"""The constants of a field's kernel: its blocks, tile size and number of warps."""

from dataclasses import dataclass
from math import pi

from nefstudy.errors import BadConfig
from nefstudy.fields.field import NeuralField
from nefstudy.fields.mfn import Mfn
from nefstudy.fields.rffnet import RffNet
from nefstudy.fields.siren import Siren
from nefstudy.fitting.engines.fused.blocks import RowBlock, blocks_of, padded_extent

PRECISION = "tf32x3"  # products split in three, as accurate as float32's (tests/fitting/engines/test_split_products.py)
MAX_RESIDENT = 64  # units up to which all matrices and gradients fit a processor's registers and shared memory
MAX_HIDDEN = {"siren": 128, "rffnet": 128, "mfn": MAX_RESIDENT}  # a wider MFN takes 360 kB of shared memory
MAX_CHANNELS = 4


@dataclass(frozen=True)
class Plan:
    """The plan of a field's kernel: the constants with which it is compiled.

    Attributes:
        depth: number of hidden-by-hidden matrices, without the two halves of RFFNet's first matrix.
        tile: points computed together.
        warps: warps of 32 threads that share a field.
        wide: whether matrices and gradients stay in global memory, from which each product loads its matrix.
    """

    kind: str
    blocks: tuple[RowBlock, ...]
    depth: int
    tile: int
    warps: int
    wide: bool


def plan_of(field: NeuralField) -> Plan:
    """Return the plan of a supported field (see `no_kernel_reason`)."""
    kind, depth, hidden = _shape(field)
    tile, warps = (32, 8) if padded_extent(hidden) > 32 else (64, 4)
    return Plan(kind, blocks_of(field), depth, tile, warps, wide=hidden > MAX_RESIDENT)


def factor_of(field: NeuralField) -> float:
    """Return the number that multiplies a field's scaled blocks; the kernel takes it as an argument, not a constant."""
    if isinstance(field, Siren):
        return field.omega_0
    if isinstance(field, RffNet):
        return 2 * pi * field.std
    if isinstance(field, Mfn):
        return 1.0  # no block of an MFN is scaled
    raise BadConfig(_no_kernel(field))


def no_kernel_reason(field: NeuralField) -> str | None:
    """Return why no kernel supports a field, or None if one does."""
    if not isinstance(field, Siren | RffNet | Mfn):
        return _no_kernel(field)
    kind, depth, hidden = _shape(field)
    if hidden > MAX_HIDDEN[kind]:
        return f"hidden = {hidden}: a {kind} fits a processor up to {MAX_HIDDEN[kind]} units"
    if field.out_dim > MAX_CHANNELS:
        return f"out_dim = {field.out_dim}: the kernel supports up to {MAX_CHANNELS} channels"
    if depth < 0:
        return f"layers = {field.layers}: the kernel needs at least 2" if isinstance(field, RffNet) else None
    return None


def _shape(field: NeuralField) -> tuple[str, int, int]:
    """Return the kind, depth and hidden units of a field's kernel."""
    if isinstance(field, Siren):
        return "siren", field.layers - 2, field.hidden
    if isinstance(field, RffNet):
        return "rffnet", field.layers - 2, field.hidden
    if isinstance(field, Mfn):
        return "mfn", field.filters - 1, field.hidden
    raise BadConfig(_no_kernel(field))


def _no_kernel(field: NeuralField) -> str:
    return f"there is no kernel for {type(field).__name__}, only for Siren, RffNet and Mfn"
