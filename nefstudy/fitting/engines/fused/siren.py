"""Loss and gradient of one SIREN over one tile of points, as part of the kernel."""

import triton
import triton.language as tl

from nefstudy.fitting.engines.fused.linear import entry, entry_gradient, output
from nefstudy.fitting.engines.fused.product import accumulate, product, split, transposed
from nefstudy.fitting.engines.fused.sincos import sincos


@triton.jit
def siren(
    weights, grads, coordinates, targets, inside, share, losses,
    D: tl.constexpr, C: tl.constexpr, DEPTH: tl.constexpr, LOSS: tl.constexpr,
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
        sine, cosine = sincos(product(inputs[i], weights[AT + 2 * i], bias))
        if i < DEPTH - 1:
            inputs = inputs + (split(sine),)
        cosines = cosines + (cosine,)
    block_grads, hidden_grad, losses = output(
        weights, grads, sine, targets, inside, share, losses, AT + 2 * DEPTH, C, LOSS
    )
    for i in tl.static_range(DEPTH - 1, -1, -1):
        angle_grad = hidden_grad * cosines[i + 1]
        parts = split(angle_grad)
        kernel = product(transposed(inputs[i]), parts, grads[AT + 2 * i])
        block_grads = (kernel, accumulate(grads[AT + 2 * i + 1], angle_grad)) + block_grads
        hidden_grad = product(parts, transposed(weights[AT + 2 * i]), tl.zeros_like(angle_grad))
    angle_grad = hidden_grad * cosines[0]
    block_grads = (accumulate(grads[D], angle_grad),) + block_grads
    return entry_gradient(grads, angle_grad, coordinates, 0, D) + block_grads, losses
