"""Loss and gradient of one RFFNet over one tile of points, in a kernel."""

import triton
import triton.language as tl

from nefstudy.fitting.fused.linear import entry, entry_gradient, output
from nefstudy.fitting.fused.waves import waves


@triton.jit
def rectified(value):
    """max(value, 0), NaN where it is NaN, so that a field that diverges is seen to."""
    return tl.maximum(value, 0.0, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def rffnet(
    weights, grads, coordinates, targets, inside, share, losses,
    D: tl.constexpr, C: tl.constexpr, DEPTH: tl.constexpr, LOSS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """(grads, losses) with a tile's added; DEPTH matrices after the frequencies', 2 pi std in the frequencies."""
    AT: tl.constexpr = D + 3
    zero = tl.zeros_like(weights[0])
    sine, cosine = waves(entry(weights, zero, coordinates, 0, D))
    hidden = tl.dot(sine, weights[D], input_precision=PRECISION)
    hidden = tl.dot(cosine, weights[D + 1], acc=hidden, input_precision=PRECISION) + weights[D + 2][None, :]
    states = (rectified(hidden),)
    for i in tl.static_range(DEPTH):
        hidden = tl.dot(states[i], weights[AT + 2 * i], input_precision=PRECISION) + weights[AT + 2 * i + 1][None, :]
        states = states + (rectified(hidden),)
    found, back, losses = output(weights, grads, states[DEPTH], targets, inside, share, losses, AT + 2 * DEPTH, C, LOSS)
    for i in tl.static_range(DEPTH - 1, -1, -1):
        back = tl.where(states[i + 1] > 0.0, back, 0.0)
        kernel = tl.dot(tl.trans(states[i]), back, acc=grads[AT + 2 * i], input_precision=PRECISION)
        found = (kernel, grads[AT + 2 * i + 1] + tl.sum(back, axis=0)) + found
        back = tl.dot(back, tl.trans(weights[AT + 2 * i]), input_precision=PRECISION)
    back = tl.where(states[0] > 0.0, back, 0.0)
    sines = tl.dot(tl.trans(sine), back, acc=grads[D], input_precision=PRECISION)
    cosines = tl.dot(tl.trans(cosine), back, acc=grads[D + 1], input_precision=PRECISION)
    found = (sines, cosines, grads[D + 2] + tl.sum(back, axis=0)) + found
    turn = tl.dot(back, tl.trans(weights[D]), input_precision=PRECISION) * cosine
    turn -= tl.dot(back, tl.trans(weights[D + 1]), input_precision=PRECISION) * sine
    return entry_gradient(grads, turn, coordinates, 0, D) + found, losses
