"""Loss and gradient of one MFN over one tile of points, in a kernel."""

import triton
import triton.language as tl

from nefstudy.fitting.fused.linear import entry, entry_gradient, output
from nefstudy.fitting.fused.product import folded, product, split, turned
from nefstudy.fitting.fused.waves import waves


@triton.jit
def mfn(
    weights, grads, coordinates, targets, inside, share, losses,
    D: tl.constexpr, C: tl.constexpr, DEPTH: tl.constexpr, LOSS: tl.constexpr,
):  # fmt: skip
    """(grads, losses) with a tile's added; DEPTH hidden matrices, one filter more (see blocks.py)."""
    AT: tl.constexpr = (D + 1) * (DEPTH + 1)
    state, _ = waves(entry(weights, weights[D], coordinates, 0, D))
    linears = ()
    for i in tl.static_range(DEPTH):
        bias = tl.broadcast_to(weights[AT + 2 * i + 1][None, :], state.shape)
        linear = product(split(state), weights[AT + 2 * i], bias)
        linears = linears + (linear,)
        sine, _ = waves(entry(weights, weights[(i + 1) * (D + 1) + D], coordinates, (i + 1) * (D + 1), D))
        state = linear * sine
    last, back, losses = output(weights, grads, state, targets, inside, share, losses, AT + 2 * DEPTH, C, LOSS)
    filters = ()
    for i in tl.static_range(DEPTH - 1, -1, -1):
        sine, cosine = waves(entry(weights, weights[(i + 1) * (D + 1) + D], coordinates, (i + 1) * (D + 1), D))
        turn = back * linears[i] * cosine
        phase = folded(grads[(i + 1) * (D + 1) + D], turn)
        filters = entry_gradient(grads, turn, coordinates, (i + 1) * (D + 1), D) + (phase,) + filters
        slope = back * sine
        state, _ = waves(entry(weights, weights[i * (D + 1) + D], coordinates, i * (D + 1), D))
        if i > 0:
            state = state * linears[i - 1]
        parts = split(slope)
        kernel = product(turned(split(state)), parts, grads[AT + 2 * i])
        last = (kernel, folded(grads[AT + 2 * i + 1], slope)) + last
        back = product(parts, turned(weights[AT + 2 * i]), tl.zeros_like(slope))
    _, cosine = waves(entry(weights, weights[D], coordinates, 0, D))
    turn = back * cosine
    filters = entry_gradient(grads, turn, coordinates, 0, D) + (folded(grads[D], turn),) + filters
    return filters + last, losses
