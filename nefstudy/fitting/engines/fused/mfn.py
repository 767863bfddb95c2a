"""Loss and gradient of one MFN over one tile of points, as part of the kernel."""

import triton
import triton.language as tl

from nefstudy.fitting.engines.fused.gradients import add_matrix, add_vector, matrix
from nefstudy.fitting.engines.fused.linear import entry, entry_gradient, output
from nefstudy.fitting.engines.fused.product import product, split, transposed
from nefstudy.fitting.engines.fused.sincos import sincos


@triton.jit
def mfn(
    weights, grads, memory, coordinates, targets, inside, share, losses,
    BLOCKS: tl.constexpr, D: tl.constexpr, C: tl.constexpr, DEPTH: tl.constexpr, LOSS: tl.constexpr,
    WIDE: tl.constexpr,
):  # fmt: skip
    """Return `grads` and `losses`, with the gradients and losses of one tile added.

    The field has DEPTH hidden matrices and DEPTH + 1 filters (see blocks.py).
    """
    AT: tl.constexpr = (D + 1) * (DEPTH + 1)
    state, _ = sincos(entry(weights, weights[D], coordinates, 0, D))
    linears = ()
    for i in tl.static_range(DEPTH):
        bias = tl.broadcast_to(weights[AT + 2 * i + 1][None, :], state.shape)
        linear = product(split(state), matrix(weights, memory, AT + 2 * i, BLOCKS, WIDE), bias)
        linears = linears + (linear,)
        sine, _ = sincos(entry(weights, weights[(i + 1) * (D + 1) + D], coordinates, (i + 1) * (D + 1), D))
        state = linear * sine
    last, hidden_grad, losses = output(
        weights, grads, memory, state, targets, inside, share, losses, AT + 2 * DEPTH, BLOCKS, C, LOSS, WIDE
    )
    filters = ()
    for i in tl.static_range(DEPTH - 1, -1, -1):
        sine, cosine = sincos(entry(weights, weights[(i + 1) * (D + 1) + D], coordinates, (i + 1) * (D + 1), D))
        angle_grad = hidden_grad * linears[i] * cosine
        phase = add_vector(grads, memory, angle_grad, (i + 1) * (D + 1) + D, BLOCKS, WIDE)
        filters = (
            entry_gradient(grads, memory, angle_grad, coordinates, (i + 1) * (D + 1), BLOCKS, D, WIDE)
            + (phase,)
            + filters
        )
        linear_grad = hidden_grad * sine
        state, _ = sincos(entry(weights, weights[i * (D + 1) + D], coordinates, i * (D + 1), D))
        if i > 0:
            state = state * linears[i - 1]
        parts = split(linear_grad)
        kernel = add_matrix(grads, memory, transposed(split(state)), parts, AT + 2 * i, BLOCKS, WIDE)
        last = (kernel, add_vector(grads, memory, linear_grad, AT + 2 * i + 1, BLOCKS, WIDE)) + last
        hidden_grad = product(
            parts, transposed(matrix(weights, memory, AT + 2 * i, BLOCKS, WIDE)), tl.zeros_like(linear_grad)
        )
    _, cosine = sincos(entry(weights, weights[D], coordinates, 0, D))
    angle_grad = hidden_grad * cosine
    filters = (
        entry_gradient(grads, memory, angle_grad, coordinates, 0, BLOCKS, D, WIDE)
        + (add_vector(grads, memory, angle_grad, D, BLOCKS, WIDE),)
        + filters
    )
    return filters + last, losses
