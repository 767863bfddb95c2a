"""A field's matrices and gradients: in registers and shared memory or, for a wide field, in global memory.

A wide field's `memory` is (row, factor, sums), where `sums` is a row of gradients to which each tile adds.
"""

import triton
import triton.language as tl

from nefstudy.fitting.engines.fused.product import accumulate, product, split


@triton.jit
def positions(BLOCK: tl.constexpr):
    """Return the positions of a block's entries in the flat row, and a mask that excludes the padding."""
    column = tl.arange(0, BLOCK[5])
    if BLOCK[4] == 1:
        position = BLOCK[0] + column * BLOCK[1]
        inside = column < BLOCK[3]
    else:
        row = tl.arange(0, BLOCK[4])
        position = BLOCK[0] + row[:, None] * BLOCK[1] + column[None, :]
        inside = (row[:, None] < BLOCK[2]) & (column[None, :] < BLOCK[3])
    return position, inside


@triton.jit
def load_block(row, factor, BLOCK: tl.constexpr):
    """Load a block of a row, scaled and padded with zeros."""
    position, inside = positions(BLOCK)
    values = tl.load(row + position, mask=inside, other=0.0)
    if BLOCK[6]:
        values = values * factor
    return values


@triton.jit
def matrix(weights, memory, AT: tl.constexpr, BLOCKS: tl.constexpr, WIDE: tl.constexpr):
    """Return a split matrix, which a wide field loads for each product."""
    if WIDE:
        return split(load_block(memory[0], memory[1], BLOCKS[AT]))
    else:
        return weights[AT]


@triton.jit
def add_matrix(grads, memory, one, other, AT: tl.constexpr, BLOCKS: tl.constexpr, WIDE: tl.constexpr):
    """Return grads[AT] plus the product of two split factors; a wide field adds it to its sums."""
    if WIDE:
        position, inside = positions(BLOCKS[AT])
        total = tl.load(memory[2] + position, mask=inside, other=0.0)
        tl.store(memory[2] + position, product(one, other, total), mask=inside)
        return 0
    else:
        return product(one, other, grads[AT])


@triton.jit
def add_vector(grads, memory, tile, AT: tl.constexpr, BLOCKS: tl.constexpr, WIDE: tl.constexpr):
    """Return grads[AT] plus a tile, which `reduced` sums over its points later; a wide field adds it to its sums."""
    if WIDE:
        position, inside = positions(BLOCKS[AT])
        total = tl.load(memory[2] + position, mask=inside, other=0.0)
        tl.store(memory[2] + position, total + tl.sum(tile, axis=0), mask=inside)
        return 0
    else:
        return accumulate(grads[AT], tile)


@triton.jit
def add_bias(grads, memory, tile, AT: tl.constexpr, BLOCKS: tl.constexpr, WIDE: tl.constexpr):
    """Return grads[AT] plus a number per point; a wide field adds their sum to its sums."""
    if WIDE:
        position, inside = positions(BLOCKS[AT])
        total = tl.load(memory[2] + position, mask=inside, other=0.0)
        tl.store(memory[2] + position, total + tl.sum(tile, axis=0, keep_dims=True), mask=inside)
        return 0
    else:
        return grads[AT] + tile
