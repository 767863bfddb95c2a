"""Sine and cosine of the same angles, in two ways that agree to float32 rounding."""

from collections.abc import Callable
from math import pi

import torch
from jaxtyping import Float
from torch import Tensor

Waves = Callable[[Tensor], tuple[Tensor, Tensor]]
"""angles -> (their sines, their cosines)"""

# pi/2 in three parts, the first two short enough that whole multiples of them are exact in float32
HALF_PI = (1.5703125, 4.837512969970703125e-4, 7.549789954891882e-8)
SINE = (-1.6666654611e-1, 8.3321608736e-3, -1.9515295891e-4)
COSINE = (4.166664568298827e-2, -1.388731625493765e-3, 2.443315711809948e-5)


def separate(angle: Float[Tensor, "..."]) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
    """torch.sin and torch.cos: the most accurate, for engines that compute operation by operation."""
    return torch.sin(angle), torch.cos(angle)


def joint(angle: Float[Tensor, "..."]) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
    """Both from one reduction to [-pi/4, pi/4], for engines that fuse elementwise operations.

    Cody-Waite reduction in three parts and the polynomials of Cephes' sinf (Moshier 1992). Errors up to
    1e-7 for angles up to 10^4; beyond, phases blur as float32 angles themselves do, but values stay in
    [-1, 1]: the reduced angle is clamped. Angles that are not finite give NaN.
    """
    quadrant = torch.round(angle * (2 / pi))
    rest = angle
    for part in HALF_PI:
        rest = rest - quadrant * part
    rest = rest.clamp(-pi / 4 - 1e-3, pi / 4 + 1e-3)
    square = rest * rest
    sine = rest + rest * square * (SINE[0] + square * (SINE[1] + square * SINE[2]))
    cosine = 1 - 0.5 * square + square * square * (COSINE[0] + square * (COSINE[1] + square * COSINE[2]))
    turns = quadrant.to(torch.int32)
    odd = (turns & 1) != 0
    swapped, other = torch.where(odd, cosine, sine), torch.where(odd, sine, cosine)
    return (
        torch.where((turns & 2) != 0, -swapped, swapped),
        torch.where(((turns + 1) & 2) != 0, -other, other),
    )
