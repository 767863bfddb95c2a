"""Losses and their gradients with respect to the outputs, averaged within each field, never across fields.

Points and channels may be in either order if outputs and targets agree.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from nefstudy.fields.field import Loss
from nefstudy.signals.signal import LossName


def mse(
    outputs: Float[Tensor, "F A B"], targets: Float[Tensor, "F A B"]
) -> tuple[Float[Tensor, " F"], Float[Tensor, "F A B"]]:
    """Return the mean squared error of each field over its points and channels, and its gradient."""
    size = outputs.shape[1] * outputs.shape[2]
    error = outputs - targets
    return (error * error).sum(dim=(1, 2)) / size, error * (2.0 / size)


def bce_with_logits(
    outputs: Float[Tensor, "F A B"], targets: Float[Tensor, "F A B"]
) -> tuple[Float[Tensor, " F"], Float[Tensor, "F A B"]]:
    """Return the mean binary cross-entropy of logits against occupancies in [0, 1], and its gradient.

    softplus(z) - y z, with softplus(z) = max(z, 0) + log1p(exp(-|z|)), which does not overflow for any logit.
    """
    size = outputs.shape[1] * outputs.shape[2]
    losses = outputs.clamp(min=0) - outputs * targets + torch.log1p(torch.exp(-outputs.abs()))
    return losses.sum(dim=(1, 2)) / size, (torch.sigmoid(outputs) - targets) / size


LOSSES: dict[LossName, Loss] = {"mse": mse, "bce": bce_with_logits}
