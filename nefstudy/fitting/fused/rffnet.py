"""Loss and gradient of one RFFNet over one tile of points, in a kernel."""

import triton
import triton.language as tl

from nefstudy.fitting.fused.linear import entry, entry_gradient, output
from nefstudy.fitting.fused.product import folded, product, split, turned
from nefstudy.fitting.fused.waves import waves


@triton.jit
def rectified(value):
    """max(value, 0), NaN where it is NaN, so that a field that diverges is seen to."""
    return tl.maximum(value, 0.0, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def rffnet(
    weights, grads, coordinates, targets, inside, share, losses,
    D: tl.constexpr, C: tl.constexpr, DEPTH: tl.constexpr, LOSS: tl.constexpr,
):  # fmt: skip
    """(grads, losses) with a tile's added; DEPTH matrices after the frequencies', 2 pi std in the frequencies."""
    AT: tl.constexpr = D + 3
    zero = tl.zeros_like(weights[0])
    sine, cosine = waves(entry(weights, zero, coordinates, 0, D))
    hidden = tl.zeros([sine.shape[0], weights[D + 2].shape[0]], tl.float32) + weights[D + 2][None, :]
    hidden = product(split(sine), weights[D], hidden)
    hidden = product(split(cosine), weights[D + 1], hidden)
    states = (rectified(hidden),)
    for i in tl.static_range(DEPTH):
        bias = tl.broadcast_to(weights[AT + 2 * i + 1][None, :], hidden.shape)
        hidden = product(split(states[i]), weights[AT + 2 * i], bias)
        states = states + (rectified(hidden),)
    found, back, losses = output(weights, grads, states[DEPTH], targets, inside, share, losses, AT + 2 * DEPTH, C, LOSS)
    for i in tl.static_range(DEPTH - 1, -1, -1):
        back = tl.where(states[i + 1] > 0.0, back, 0.0)
        parts = split(back)
        kernel = product(turned(split(states[i])), parts, grads[AT + 2 * i])
        found = (kernel, folded(grads[AT + 2 * i + 1], back)) + found
        back = product(parts, turned(weights[AT + 2 * i]), tl.zeros_like(back))
    back = tl.where(states[0] > 0.0, back, 0.0)
    parts = split(back)
    sine, cosine = waves(entry(weights, zero, coordinates, 0, D))
    sines = product(turned(split(sine)), parts, grads[D])
    cosines = product(turned(split(cosine)), parts, grads[D + 1])
    found = (sines, cosines, folded(grads[D + 2], back)) + found
    turn = product(parts, turned(weights[D]), tl.zeros_like(sine)) * cosine
    turn -= product(parts, turned(weights[D + 1]), tl.zeros_like(sine)) * sine
    return entry_gradient(grads, turn, coordinates, 0, D) + found, losses
