"""Sines and cosines of the same angles in a kernel, using the reduction and polynomials of fields/sincos.py."""

from math import pi

import triton
import triton.language as tl

from nefstudy.fields.sincos import COSINE, PI, SINE

PI_0, PI_1, PI_2 = tl.constexpr(PI[0]), tl.constexpr(PI[1]), tl.constexpr(PI[2])
S_0, S_1, S_2, S_3 = (tl.constexpr(part) for part in SINE)
C_0, C_1, C_2, C_3, C_4 = (tl.constexpr(part) for part in COSINE)
PER_PI, EDGE = tl.constexpr(1 / pi), tl.constexpr(pi / 2 + 1e-3)
ROUND = tl.constexpr(1.5 * 2**23)  # adding it rounds to an integer, whose parity is then the lowest bit


@triton.jit
def sincos(angle):
    """Return (sine, cosine), with errors up to 2e-7 for angles up to 10^4, and values in [-1, 1] or NaN beyond."""
    shifted = angle * PER_PI + ROUND
    turns = shifted - ROUND
    flip = shifted.to(tl.int32, bitcast=True) << 31
    rest = angle - turns * PI_0
    rest = rest - turns * PI_1
    rest = rest - turns * PI_2
    rest = tl.minimum(rest, EDGE, propagate_nan=tl.PropagateNan.ALL)
    rest = tl.maximum(rest, -EDGE, propagate_nan=tl.PropagateNan.ALL)
    square = rest * rest
    sine = rest + rest * square * (S_0 + square * (S_1 + square * (S_2 + square * S_3)))
    cosine = 1.0 + square * (C_0 + square * (C_1 + square * (C_2 + square * (C_3 + square * C_4))))
    sine = (sine.to(tl.int32, bitcast=True) ^ flip).to(tl.float32, bitcast=True)
    cosine = (cosine.to(tl.int32, bitcast=True) ^ flip).to(tl.float32, bitcast=True)
    return sine, cosine
