"""Sines and cosines of the same angles, in two implementations that agree to float32 rounding."""

from collections.abc import Callable
from math import pi

import torch
from jaxtyping import Float
from torch import Tensor

Sincos = Callable[[Tensor], Tensor]
"""Maps angles [F, K, P] to [F, 2K, P]: the K sines, then the K cosines."""

# pi in three parts, the first two short enough that small integer multiples of them are exact in float32
PI = (3.140625, 9.67502593994140625e-4, 1.509957990978376432e-7)
# minimax fits of (sin(r) - r) / r^3 and (cos(r) - 1) / r^2 in r^2 on [-pi/2, pi/2]; errors under 5e-9
SINE = (-1.6666656733e-1, 8.3330152556e-3, -1.9806441560e-4, 2.5996687327e-6)
COSINE = (-0.5, 4.1666641831e-2, -1.3888400281e-3, 2.4761686291e-5, -2.6073428216e-7)


def torch_sincos(angle: Float[Tensor, "F K P"]) -> Float[Tensor, "F twoK P"]:
    """Compute sines and cosines with torch.sin and torch.cos (most accurate), for engines without operator fusion."""
    count, units, points = angle.shape
    both = angle.new_empty(count, 2 * units, points)
    torch.sin(angle, out=both[:, :units])
    torch.cos(angle, out=both[:, units:])
    return both


def fused_sincos(angle: Float[Tensor, "F K P"]) -> Float[Tensor, "F twoK P"]:
    """Compute sines and cosines from one range reduction to [-pi/2, pi/2], for engines with operator fusion.

    Float32 only. Cody-Waite reduction in three parts and two minimax polynomials; odd multiples of pi flip both signs.
    Errors are at most 2e-7 for angles up to 10^4. Beyond that, phases lose precision as float32 angles do, but
    values stay in [-1, 1] because the reduced angle is clamped. Non-finite angles give NaN.
    """
    turns = torch.round(angle * (1 / pi))
    rest = angle
    for part in PI:
        rest = rest - turns * part
    rest = rest.clamp(-pi / 2 - 1e-3, pi / 2 + 1e-3)
    square = rest * rest
    sine = rest + rest * square * (SINE[0] + square * (SINE[1] + square * (SINE[2] + square * SINE[3])))
    cosine = 1 + square * (
        COSINE[0] + square * (COSINE[1] + square * (COSINE[2] + square * (COSINE[3] + square * COSINE[4])))
    )
    flip = turns.to(torch.int32) << 31
    return torch.cat([_signed(sine, flip), _signed(cosine, flip)], dim=1)


def _signed(value: Float[Tensor, "F K P"], flip: Tensor) -> Float[Tensor, "F K P"]:
    return (value.view(torch.int32) ^ flip).view(torch.float32)
