"""Loss and gradient of one SIREN over one tile of points, as part of the kernel."""

import triton
import triton.language as tl

from nefstudy.fitting.engines.fused.gradients import add_matrix, add_vector, matrix
from nefstudy.fitting.engines.fused.linear import entry, entry_gradient, output
from nefstudy.fitting.engines.fused.product import product, split, transposed
from nefstudy.fitting.engines.fused.sincos import sincos


@triton.jit
def siren(
    weights, grads, memory, coordinates, targets, inside, share, losses,
    BLOCKS: tl.constexpr, D: tl.constexpr, C: tl.constexpr, DEPTH: tl.constexpr, LOSS: tl.constexpr,
    WIDE: tl.constexpr,
):  # fmt: skip
    """Return `grads` and `losses`, with the gradients and losses of one tile added.

    The field has DEPTH hidden matrices, and the weights include omega_0 (see blocks.py).
    """
    AT: tl.constexpr = D + 1
    sine, cosine = sincos(entry(weights, weights[D], coordinates, 0, D))
    hidden = split(sine)
    inputs = (hidden,)
    cosines = (cosine,)
    for i in tl.static_range(DEPTH):
        bias = tl.broadcast_to(weights[AT + 2 * i + 1][None, :], cosine.shape)
        sine, cosine = sincos(product(inputs[i], matrix(weights, memory, AT + 2 * i, BLOCKS, WIDE), bias))
        if i < DEPTH - 1:
            inputs = inputs + (split(sine),)
        cosines = cosines + (cosine,)
    block_grads, hidden_grad, losses = output(
        weights, grads, memory, sine, targets, inside, share, losses, AT + 2 * DEPTH, BLOCKS, C, LOSS, WIDE
    )
    for i in tl.static_range(DEPTH - 1, -1, -1):
        angle_grad = hidden_grad * cosines[i + 1]
        parts = split(angle_grad)
        kernel = add_matrix(grads, memory, transposed(inputs[i]), parts, AT + 2 * i, BLOCKS, WIDE)
        block_grads = (kernel, add_vector(grads, memory, angle_grad, AT + 2 * i + 1, BLOCKS, WIDE)) + block_grads
        hidden_grad = product(
            parts, transposed(matrix(weights, memory, AT + 2 * i, BLOCKS, WIDE)), tl.zeros_like(angle_grad)
        )
    angle_grad = hidden_grad * cosines[0]
    block_grads = (add_vector(grads, memory, angle_grad, D, BLOCKS, WIDE),) + block_grads
    return entry_gradient(grads, memory, angle_grad, coordinates, 0, BLOCKS, D, WIDE) + block_grads, losses
