"""Affine maps of many fields at once, and their gradients."""

import torch
from jaxtyping import Float
from torch import Tensor


def affine(
    x: Float[Tensor, "*F P I"], kernel: Float[Tensor, "F I O"], bias: Float[Tensor, "F O"]
) -> Float[Tensor, "F P O"]:
    """x @ kernel + bias for each field; x may be shared by all fields."""
    return torch.matmul(x, kernel) + bias.unsqueeze(1)


def affine_gradient(
    x: Float[Tensor, "*F P I"], cotangent: Float[Tensor, "F P O"]
) -> tuple[Float[Tensor, "F O"], Float[Tensor, "F I O"]]:
    """Gradients by (bias, kernel) of `affine` at x, given the gradient by its result."""
    return cotangent.sum(dim=1), torch.matmul(x.mT, cotangent)


def input_gradient(cotangent: Float[Tensor, "F P O"], kernel: Float[Tensor, "F I O"]) -> Float[Tensor, "F P I"]:
    """Gradient by x of `affine`, given the gradient by its result."""
    return torch.bmm(cotangent, kernel.mT)
