"""Loss and gradient of one RFFNet over one tile of points, as part of the kernel."""

import triton
import triton.language as tl

from nefstudy.fitting.engines.fused.gradients import add_matrix, add_vector, matrix
from nefstudy.fitting.engines.fused.linear import entry, entry_gradient, output
from nefstudy.fitting.engines.fused.product import product, split, transposed
from nefstudy.fitting.engines.fused.sincos import sincos


@triton.jit
def rectified(value):
    """Return max(value, 0), or NaN for NaN, so that divergence is detected."""
    return tl.maximum(value, 0.0, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def rffnet(
    weights, grads, memory, coordinates, targets, inside, share, losses,
    BLOCKS: tl.constexpr, D: tl.constexpr, C: tl.constexpr, DEPTH: tl.constexpr, LOSS: tl.constexpr,
    WIDE: tl.constexpr,
):  # fmt: skip
    """Return `grads` and `losses`, with the gradients and losses of one tile added.

    The field has DEPTH matrices after kernel_0, and the frequencies include the factor 2 pi std.
    """
    AT: tl.constexpr = D + 3
    zero = tl.zeros_like(weights[0])
    sine, cosine = sincos(entry(weights, zero, coordinates, 0, D))
    hidden = tl.zeros([sine.shape[0], weights[D + 2].shape[0]], tl.float32) + weights[D + 2][None, :]
    hidden = product(split(sine), matrix(weights, memory, D, BLOCKS, WIDE), hidden)
    hidden = product(split(cosine), matrix(weights, memory, D + 1, BLOCKS, WIDE), hidden)
    states = (rectified(hidden),)
    for i in tl.static_range(DEPTH):
        bias = tl.broadcast_to(weights[AT + 2 * i + 1][None, :], hidden.shape)
        hidden = product(split(states[i]), matrix(weights, memory, AT + 2 * i, BLOCKS, WIDE), bias)
        states = states + (rectified(hidden),)
    state = states[DEPTH]
    block_grads, hidden_grad, losses = output(
        weights, grads, memory, state, targets, inside, share, losses, AT + 2 * DEPTH, BLOCKS, C, LOSS, WIDE
    )
    for i in tl.static_range(DEPTH - 1, -1, -1):
        hidden_grad = tl.where(states[i + 1] > 0.0, hidden_grad, 0.0)
        parts = split(hidden_grad)
        kernel = add_matrix(grads, memory, transposed(split(states[i])), parts, AT + 2 * i, BLOCKS, WIDE)
        block_grads = (kernel, add_vector(grads, memory, hidden_grad, AT + 2 * i + 1, BLOCKS, WIDE)) + block_grads
        hidden_grad = product(
            parts, transposed(matrix(weights, memory, AT + 2 * i, BLOCKS, WIDE)), tl.zeros_like(hidden_grad)
        )
    hidden_grad = tl.where(states[0] > 0.0, hidden_grad, 0.0)
    parts = split(hidden_grad)
    sine, cosine = sincos(entry(weights, zero, coordinates, 0, D))
    sines = add_matrix(grads, memory, transposed(split(sine)), parts, D, BLOCKS, WIDE)
    cosines = add_matrix(grads, memory, transposed(split(cosine)), parts, D + 1, BLOCKS, WIDE)
    block_grads = (sines, cosines, add_vector(grads, memory, hidden_grad, D + 2, BLOCKS, WIDE)) + block_grads
    angle_grad = product(parts, transposed(matrix(weights, memory, D, BLOCKS, WIDE)), tl.zeros_like(sine)) * cosine
    angle_grad -= product(parts, transposed(matrix(weights, memory, D + 1, BLOCKS, WIDE)), tl.zeros_like(sine)) * sine
    return entry_gradient(grads, memory, angle_grad, coordinates, 0, BLOCKS, D, WIDE) + block_grads, losses
