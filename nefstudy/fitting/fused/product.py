"""Matrix products on tensor cores as accurate as float32's: each factor is split in two that tf32 holds.

With 11 bits in the high part and what is left in the low one, three of the four products of parts make up all but
2^-22 of the whole (Markidis et al. 2018). Splitting here rather than in `tl.dot` splits a matrix of weights once a
step, an activation once for both products that it enters, and spares a look for NaN at every number.
"""

import triton
import triton.language as tl

HIGH = tl.constexpr(-(2**13))  # all but the 13 lowest bits of a float32
HALF = tl.constexpr(2**12)  # rounds to them


@triton.jit
def split(value):
    """(high, low) parts, whose sum is the value; NaN stays NaN in one of them."""
    high = ((value.to(tl.int32, bitcast=True) + HALF) & HIGH).to(tl.float32, bitcast=True)
    return high, value - high


@triton.jit
def product(one, other, total):
    """total + one @ other, of split factors."""
    total = tl.dot(one[1], other[0], total, input_precision="tf32")
    total = tl.dot(one[0], other[1], total, input_precision="tf32")
    return tl.dot(one[0], other[0], total, input_precision="tf32")


@triton.jit
def turned(parts):
    """A split matrix transposed."""
    return tl.trans(parts[0]), tl.trans(parts[1])


@triton.jit
def folded(total, tile):
    """`total` with a tile's points added, those that one thread holds: [tile, hidden] into [tile / 2, hidden]."""
    parts = tl.reshape(tile, [tile.shape[0] // 16, 2, 8, tile.shape[1]])
    return total + tl.sum(parts, axis=1)
