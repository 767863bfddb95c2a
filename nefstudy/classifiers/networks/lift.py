"""The first layer of `gnn` and `transformer`, which maps the scalars of a unit or an edge to the channels of its state.

It is linear in the scalars, or in random Fourier features of them (Tancik et al. 2020), which make small differences
between two weights large.
"""

from math import pi

import torch
from jaxtyping import Float
from torch import Tensor, nn


class FourierLift(nn.Module):
    """A linear layer on sin(2 pi b x) and cos(2 pi b x) of each scalar x (Kofinas et al. 2024, public code).

    Attributes:
        frequencies: the numbers b of each scalar, [R, K], drawn once from N(0, sigma^2) and not trained.
    """

    def __init__(self, scalars: int, width: int, *, frequencies: int, sigma: float) -> None:
        super().__init__()
        self.frequencies: Tensor
        self.register_buffer("frequencies", sigma * torch.randn(scalars, frequencies))
        self.mix = nn.Linear(2 * scalars * frequencies, width)

    def forward(self, values: Float[Tensor, "... R"]) -> Float[Tensor, "... C"]:
        """Return the channels of each unit or edge, given its scalars."""
        angles = (2.0 * pi * values.unsqueeze(-1) * self.frequencies).flatten(-2)
        channels: Tensor = self.mix(torch.cat([angles.sin(), angles.cos()], dim=-1))
        return channels


def first_layer(scalars: int, width: int, *, lift: int, sigma: float) -> nn.Module:
    """Return a layer from scalars to channels: linear in `lift` Fourier features of each, or in themselves if it is 0.

    Frequencies and weights are drawn from torch's random state.
    """
    if not lift:
        return nn.Linear(scalars, width)
    return FourierLift(scalars, width, frequencies=lift, sigma=sigma)
