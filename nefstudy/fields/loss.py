"""Losses of a fit, each with its gradient by the outputs: one mean per field, never across fields.

Points and channels may come in either order, as long as outputs and targets agree.
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from nefstudy.fields.field import Loss

LossName = Literal["mse", "bce"]


def mse(
    outputs: Float[Tensor, "F A B"], targets: Float[Tensor, "F A B"]
) -> tuple[Float[Tensor, " F"], Float[Tensor, "F A B"]]:
    """Mean squared error of each field over its points and channels, and its gradient."""
    size = outputs.shape[1] * outputs.shape[2]
    error = outputs - targets
    return (error * error).sum(dim=(1, 2)) / size, error * (2.0 / size)


def bce_with_logits(
    outputs: Float[Tensor, "F A B"], targets: Float[Tensor, "F A B"]
) -> tuple[Float[Tensor, " F"], Float[Tensor, "F A B"]]:
    """Mean binary cross-entropy of logits against occupancies in [0, 1], and its gradient.

    softplus(z) - y z, with softplus(z) = max(z, 0) + log1p(exp(-|z|)), which no logit overflows.
    """
    size = outputs.shape[1] * outputs.shape[2]
    losses = outputs.clamp(min=0) - outputs * targets + torch.log1p(torch.exp(-outputs.abs()))
    return losses.sum(dim=(1, 2)) / size, (torch.sigmoid(outputs) - targets) / size


LOSSES: dict[LossName, Loss] = {"mse": mse, "bce": bce_with_logits}
