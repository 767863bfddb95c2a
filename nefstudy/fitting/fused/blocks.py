"""How a field's flat row falls into blocks that a kernel holds: vectors and matrices, padded to powers of two.

A kernel's dimensions are powers of two, and a matrix product's at least 16: a block has an extent of what exists and
one of what is held. What is held beyond is zero and stays zero.
"""

from collections.abc import Callable
from typing import NamedTuple

from nefstudy.fields.field import NeuralField
from nefstudy.fields.mfn import Mfn
from nefstudy.fields.rffnet import RffNet
from nefstudy.fields.siren import Siren

LEAST = 16  # the least extent of a matrix product


class Block(NamedTuple):
    """A vector or a matrix in a flat row.

    Attributes:
        offset, stride: of the first number, and from row to row (of a vector: from number to number).
        rows, columns: what exists; a vector has one row.
        held_rows, held_columns: what a kernel holds; 1 row for a vector.
        scaled: whether the field's factor multiplies it (omega_0 of a SIREN, 2 pi std of an RFFNet).
        trained: whether steps move it.
    """

    offset: int
    stride: int
    rows: int
    columns: int
    held_rows: int
    held_columns: int
    scaled: bool = False
    trained: bool = True


def held(extent: int) -> int:
    """The power of two, at least 16, that an extent is held in."""
    return max(LEAST, 1 << (extent - 1).bit_length())


def blocks_of(field: NeuralField) -> tuple[Block, ...]:
    """The blocks of a field's flat row, in the order that its kernel names them."""
    return BLOCKS[type(field)](field, _offsets(field))


def _offsets(field: NeuralField) -> dict[str, int]:
    offsets, end = {}, 0
    for parameter in field.layout:
        offsets[parameter.name] = end
        end += parameter.size
    return offsets


def _vector(offset: int, count: int, *, stride: int = 1, scaled: bool = False, trained: bool = True) -> Block:
    return Block(offset, stride, 1, count, 1, held(count), scaled, trained)


def _matrix(offset: int, rows: int, columns: int, *, scaled: bool = False) -> Block:
    return Block(offset, columns, rows, columns, held(rows), held(columns), scaled)


def _output(kernel: int, bias: int, hidden: int, channels: int) -> tuple[Block, ...]:
    """The last linear map: a vector of weights for each channel, then a bias for each."""
    weights = (_vector(kernel + c, hidden, stride=channels) for c in range(channels))
    return *weights, *(Block(bias + c, 1, 1, 1, 1, 1) for c in range(channels))


def _siren(field: NeuralField, at: dict[str, int]) -> tuple[Block, ...]:
    """kernel_0 by coordinate, bias_0; kernel_l, bias_l; output."""
    assert isinstance(field, Siren)
    hidden, last = field.hidden, field.layers - 1
    entry = (_vector(at["kernel_0"] + d * hidden, hidden, scaled=True) for d in range(field.in_dim))
    inner = (
        block
        for i in range(1, last)
        for block in (
            _matrix(at[f"kernel_{i}"], hidden, hidden, scaled=True),
            _vector(at[f"bias_{i}"], hidden, scaled=True),
        )
    )
    bias = _vector(at["bias_0"], hidden, scaled=True)
    return *entry, bias, *inner, *_output(at[f"kernel_{last}"], at[f"bias_{last}"], hidden, field.out_dim)


def _rffnet(field: NeuralField, at: dict[str, int]) -> tuple[Block, ...]:
    """frequencies by coordinate; kernel_0's sine rows, its cosine rows, bias_0; kernel_l, bias_l; output."""
    assert isinstance(field, RffNet)
    hidden, half, last = field.hidden, field.hidden // 2, field.layers - 1
    start, moves = at["frequencies"], field.train_frequencies
    entry = (_vector(start + d * half, half, scaled=True, trained=moves) for d in range(field.in_dim))
    turns = (_matrix(at["kernel_0"] + part * half * hidden, half, hidden) for part in range(2))
    inner = (
        block
        for i in range(1, last)
        for block in (_matrix(at[f"kernel_{i}"], hidden, hidden), _vector(at[f"bias_{i}"], hidden))
    )
    output = _output(at[f"kernel_{last}"], at[f"bias_{last}"], hidden, field.out_dim)
    return *entry, *turns, _vector(at["bias_0"], hidden), *inner, *output


def _mfn(field: NeuralField, at: dict[str, int]) -> tuple[Block, ...]:
    """omega_i by coordinate and phase_i of every filter; kernel_i, bias_i; output."""
    assert isinstance(field, Mfn)
    hidden, last = field.hidden, field.filters - 1
    filters = (
        block
        for i in range(field.filters)
        for block in (
            *(_vector(at[f"omega_{i}"] + d * hidden, hidden) for d in range(field.in_dim)),
            _vector(at[f"phase_{i}"], hidden),
        )
    )
    inner = (
        block
        for i in range(last)
        for block in (_matrix(at[f"kernel_{i}"], hidden, hidden), _vector(at[f"bias_{i}"], hidden))
    )
    return *filters, *inner, *_output(at[f"kernel_{last}"], at[f"bias_{last}"], hidden, field.out_dim)


BLOCKS: dict[type, Callable[[NeuralField, dict[str, int]], tuple[Block, ...]]] = {
    Siren: _siren,
    RffNet: _rffnet,
    Mfn: _mfn,
}
