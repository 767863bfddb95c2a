"""The division of a field's flat row into a kernel's blocks: vectors and matrices, padded to powers of two.

A kernel's dimensions are powers of two, and those of a matrix product at least 16. So a block has an actual and a
padded extent. The padding is zero and stays zero.
"""

from collections.abc import Callable
from typing import NamedTuple

from nefstudy.fields.field import NeuralField
from nefstudy.fields.mfn import Mfn
from nefstudy.fields.rffnet import RffNet
from nefstudy.fields.siren import Siren

MIN_EXTENT = 16  # of a matrix product


class RowBlock(NamedTuple):
    """A vector or a matrix in a flat row.

    Attributes:
        offset: position of the first number.
        stride: distance from row to row; in a vector, from number to number.
        rows, columns: actual extents; a vector has one row.
        padded_rows, padded_columns: extents in a kernel; a vector has one row.
        scaled: whether the field's factor multiplies it (omega_0 of a SIREN, 2 pi std of an RFFNet).
        trained: whether steps update it.
    """

    offset: int
    stride: int
    rows: int
    columns: int
    padded_rows: int
    padded_columns: int
    scaled: bool = False
    trained: bool = True


def padded_extent(extent: int) -> int:
    """Round an extent up to a power of two that is at least 16."""
    return max(MIN_EXTENT, 1 << (extent - 1).bit_length())


def blocks_of(field: NeuralField) -> tuple[RowBlock, ...]:
    """Return the blocks of a field's flat row, in the order that the field's kernel expects."""
    return BLOCKS[type(field)](field, _offsets(field))


def _offsets(field: NeuralField) -> dict[str, int]:
    offsets, end = {}, 0
    for parameter in field.layout:
        offsets[parameter.name] = end
        end += parameter.size
    return offsets


def _vector(offset: int, count: int, *, stride: int = 1, scaled: bool = False, trained: bool = True) -> RowBlock:
    return RowBlock(offset, stride, 1, count, 1, padded_extent(count), scaled, trained)


def _matrix(offset: int, rows: int, columns: int, *, scaled: bool = False) -> RowBlock:
    return RowBlock(offset, columns, rows, columns, padded_extent(rows), padded_extent(columns), scaled)


def _output(kernel: int, bias: int, hidden: int, channels: int) -> tuple[RowBlock, ...]:
    """Return the blocks of the last linear map: a vector of weights per channel, then a bias per channel."""
    weights = (_vector(kernel + c, hidden, stride=channels) for c in range(channels))
    return *weights, *(RowBlock(bias + c, 1, 1, 1, 1, 1) for c in range(channels))


def _siren(field: NeuralField, at: dict[str, int]) -> tuple[RowBlock, ...]:
    """Return SIREN's blocks: kernel_0 split by coordinate, bias_0, each hidden kernel and bias, the output."""
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


def _rffnet(field: NeuralField, at: dict[str, int]) -> tuple[RowBlock, ...]:
    """Return RFFNet's blocks: frequencies split by coordinate, each hidden kernel and bias, the output.

    kernel_0 is divided into two blocks: the rows of the sines, then the rows of the cosines.
    """
    assert isinstance(field, RffNet)
    hidden, half, last = field.hidden, field.hidden // 2, field.layers - 1
    start, trained = at["frequencies"], field.train_frequencies
    entry = (_vector(start + d * half, half, scaled=True, trained=trained) for d in range(field.in_dim))
    first = (_matrix(at["kernel_0"] + part * half * hidden, half, hidden) for part in range(2))
    inner = (
        block
        for i in range(1, last)
        for block in (_matrix(at[f"kernel_{i}"], hidden, hidden), _vector(at[f"bias_{i}"], hidden))
    )
    output = _output(at[f"kernel_{last}"], at[f"bias_{last}"], hidden, field.out_dim)
    return *entry, *first, _vector(at["bias_0"], hidden), *inner, *output


def _mfn(field: NeuralField, at: dict[str, int]) -> tuple[RowBlock, ...]:
    """Return MFN's blocks: omega (split by coordinate) and phase of each filter, then all kernels and biases."""
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


BLOCKS: dict[type, Callable[[NeuralField, dict[str, int]], tuple[RowBlock, ...]]] = {
    Siren: _siren,
    RffNet: _rffnet,
    Mfn: _mfn,
}
