"""Batched affine maps of many fields, and their gradients; activations have shape [F, units, P].

Points last keeps the innermost loops long and contiguous even for narrow layers: on one core, batched
matrix products of 32 units ran about 1.5 times faster than with units last.
A product over a narrow dimension is written as a sum of outer products, which a compiler can fuse with
neighboring operations; a call to the matrix library cannot be fused.
"""

import torch
from jaxtyping import Float
from torch import Tensor

NARROW = 4


def affine(
    x: Float[Tensor, "*F I P"], kernel: Float[Tensor, "F I O"], bias: Float[Tensor, "F O"]
) -> Float[Tensor, "F O P"]:
    """Return kernel^T x + bias for each field; x may be shared by all fields."""
    if kernel.shape[1] > NARROW:
        return torch.matmul(kernel.mT, x) + bias.unsqueeze(2)
    total = bias.unsqueeze(2)
    for i in range(kernel.shape[1]):
        total = total + kernel[:, i, :, None] * x[..., i, None, :]
    return total


def affine_gradient(
    x: Float[Tensor, "*F I P"], cotangent: Float[Tensor, "F O P"]
) -> tuple[Float[Tensor, "F O"], Float[Tensor, "F I O"]]:
    """Return the gradients of `affine` with respect to (bias, kernel), given x and the gradient of its output."""
    bias = cotangent.sum(dim=2)
    if cotangent.shape[1] == 1:
        return bias, (x * cotangent).sum(dim=2, keepdim=True)
    if x.shape[-2] > NARROW:
        return bias, torch.matmul(x, cotangent.mT)
    return bias, torch.stack([(cotangent * x[..., i, None, :]).sum(dim=2) for i in range(x.shape[-2])], dim=1)


def input_gradient(cotangent: Float[Tensor, "F O P"], kernel: Float[Tensor, "F I O"]) -> Float[Tensor, "F I P"]:
    """Return the gradient of `affine` with respect to x, given the gradient of its output."""
    if cotangent.shape[1] > NARROW:
        return torch.matmul(kernel, cotangent)
    parts = [kernel[:, :, o, None] * cotangent[:, o, None, :] for o in range(cotangent.shape[1])]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total
