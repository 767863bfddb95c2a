"""Matrix products on tensor cores, as accurate as in float32 because each factor is split into two tf32 parts.

With 11 bits in the high part and the rest in the low part, three of the four products of parts yield all but 2^-22 of
the whole (Markidis et al. 2018). Splitting here rather than in `tl.dot` splits a weight matrix once per step and an
activation once for its two products, and avoids a NaN check of every number.
"""

import triton
import triton.language as tl

HIGH = tl.constexpr(-(2**13))  # mask of all but the 13 lowest bits of a float32
HALF = tl.constexpr(2**12)  # added first, it rounds to those bits


@triton.jit
def split(value):
    """Split a value into high and low parts that add up to it; for NaN, one part is NaN."""
    high = ((value.to(tl.int32, bitcast=True) + HALF) & HIGH).to(tl.float32, bitcast=True)
    return high, value - high


@triton.jit
def product(one, other, total):
    """Return total + one @ other, where both factors are split."""
    total = tl.dot(one[1], other[0], total, input_precision="tf32")
    total = tl.dot(one[0], other[1], total, input_precision="tf32")
    return tl.dot(one[0], other[0], total, input_precision="tf32")


@triton.jit
def transposed(parts):
    """Return the transpose of a split matrix."""
    return tl.trans(parts[0]), tl.trans(parts[1])


@triton.jit
def accumulate(total, tile):
    """Return `total` plus a tile, after summing the pairs of points that are in the same thread."""
    parts = tl.reshape(tile, [tile.shape[0] // 16, 2, 8, tile.shape[1]])
    return total + tl.sum(parts, axis=1)
