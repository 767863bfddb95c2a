"""Points that make up a round number, and count for nothing.

A matrix library picks its loops by how operands lie in memory. With a number of points that is no multiple of 4,
a field's activations begin elsewhere in each lane, and its bits came out different in each (in a quarter of random
shapes, MKL 2024.2 on AVX-512); with a multiple of 4, in none of 80,000.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from nefstudy.fields.field import Loss

MULTIPLE = 16


def padded(points: Float[Tensor, "*F P D"]) -> Float[Tensor, "*F Q D"]:
    """The points, the last one repeated up to a multiple of 16; itself where it is one."""
    extra = -points.shape[-2] % MULTIPLE
    if extra == 0:
        return points
    return torch.cat([points, points[..., -1:, :].expand(*points.shape[:-2], extra, -1)], dim=-2)


def padded_loss(
    outputs: Float[Tensor, "F C Q"], targets: Float[Tensor, "F P C"], *, loss: Loss
) -> tuple[Float[Tensor, " F"], Float[Tensor, "F C Q"]]:
    """A loss over the first P points, and its gradient by all outputs: zero beyond them."""
    size = targets.shape[1]
    losses, cotangent = loss(outputs[:, :, :size], targets.mT)
    extra = outputs.shape[2] - size
    return losses, torch.nn.functional.pad(cotangent, (0, extra)) if extra else cotangent
