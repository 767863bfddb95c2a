"""Padding of points to a multiple of 16; padded points are ignored by the loss.

A matrix library picks its loops by the memory alignment of its operands. If the number of points is not a multiple
of 4, the alignment of a field's activations depends on its lane. Then its bits depended on the lane in a quarter of
random shapes (MKL 2024.2 on AVX-512). With a multiple of 4, they differed in none of 80,000.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from nefstudy.fields.field import Loss

MULTIPLE = 16


def padded(coords: Float[Tensor, "*F P D"]) -> Float[Tensor, "*F Q D"]:
    """Pad the points to a multiple of 16 by repeating the last point."""
    extra = -coords.shape[-2] % MULTIPLE
    if extra == 0:
        return coords
    return torch.cat([coords, coords[..., -1:, :].expand(*coords.shape[:-2], extra, -1)], dim=-2)


def padded_loss(
    outputs: Float[Tensor, "F C Q"], targets: Float[Tensor, "F P C"], *, loss: Loss
) -> tuple[Float[Tensor, " F"], Float[Tensor, "F C Q"]]:
    """Return the loss over the first P points and its gradient with respect to all outputs (zero for padding)."""
    size = targets.shape[1]
    losses, cotangent = loss(outputs[:, :, :size], targets.mT)
    extra = outputs.shape[2] - size
    return losses, torch.nn.functional.pad(cotangent, (0, extra)) if extra else cotangent
