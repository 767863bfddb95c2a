"""Loss and gradient of one MFN over one tile of points, as part of the kernel."""

import triton
import triton.language as tl

from nefstudy.fitting.engines.fused.linear import entry, entry_gradient, output
from nefstudy.fitting.engines.fused.product import accumulate, product, split, transposed
from nefstudy.fitting.engines.fused.sincos import sincos


@triton.jit
def mfn(
    weights, grads, coordinates, targets, inside, share, losses,
    D: tl.constexpr, C: tl.constexpr, DEPTH: tl.constexpr, LOSS: tl.constexpr,
):  # fmt: skip
    """Return `grads` and `losses`, with the gradients and losses of one tile added.

    The field has DEPTH hidden matrices and DEPTH + 1 filters (see blocks.py).
    """
    AT: tl.constexpr = (D + 1) * (DEPTH + 1)
    state, _ = sincos(entry(weights, weights[D], coordinates, 0, D))
    linears = ()
    for i in tl.static_range(DEPTH):
        bias = tl.broadcast_to(weights[AT + 2 * i + 1][None, :], state.shape)
        linear = product(split(state), weights[AT + 2 * i], bias)
        linears = linears + (linear,)
        sine, _ = sincos(entry(weights, weights[(i + 1) * (D + 1) + D], coordinates, (i + 1) * (D + 1), D))
        state = linear * sine
    last, hidden_grad, losses = output(weights, grads, state, targets, inside, share, losses, AT + 2 * DEPTH, C, LOSS)
    filters = ()
    for i in tl.static_range(DEPTH - 1, -1, -1):
        sine, cosine = sincos(entry(weights, weights[(i + 1) * (D + 1) + D], coordinates, (i + 1) * (D + 1), D))
        angle_grad = hidden_grad * linears[i] * cosine
        phase = accumulate(grads[(i + 1) * (D + 1) + D], angle_grad)
        filters = entry_gradient(grads, angle_grad, coordinates, (i + 1) * (D + 1), D) + (phase,) + filters
        linear_grad = hidden_grad * sine
        state, _ = sincos(entry(weights, weights[i * (D + 1) + D], coordinates, i * (D + 1), D))
        if i > 0:
            state = state * linears[i - 1]
        parts = split(linear_grad)
        kernel = product(transposed(split(state)), parts, grads[AT + 2 * i])
        last = (kernel, accumulate(grads[AT + 2 * i + 1], linear_grad)) + last
        hidden_grad = product(parts, transposed(weights[AT + 2 * i]), tl.zeros_like(linear_grad))
    _, cosine = sincos(entry(weights, weights[D], coordinates, 0, D))
    angle_grad = hidden_grad * cosine
    filters = entry_gradient(grads, angle_grad, coordinates, 0, D) + (accumulate(grads[D], angle_grad),) + filters
    return filters + last, losses
